import Fixtures
import NetworkTypes
import NodeDocument
import Sodium
import TestFiles
import Testing

@testable import Enrollment
@testable import SSH

/// A login that is not root's: how it becomes root, and what stands in the way.
@Suite struct ElevationTests {
    private let folder: TemporaryFolder
    private let bundle: AgentBundle
    private let envoy: EnvoySource
    private let password: SecretBytes
    private let document: [UInt8]

    init() throws {
        folder = try TemporaryFolder()
        let path = try folder.write("agent.tar.gz", Array("bundle".utf8))
        try folder.write("agent.build", Array("b1\n".utf8))
        bundle = try AgentBundle(path: path)
        envoy = try EnvoySource(parsing: try folder.write("envoy", Array("ENVOY".utf8)), version: "1.40.0", sha256: nil)
        password = try SecretBytes(copying: Array("hunter2".utf8))
        document = try DocumentJSON.encode(fullRelayDocument())
    }

    private func applied() throws -> FakeHost.Answer {
        var report = try fullAgentReport()
        report.agentBuild = bundle.build
        report.outcome = .applied
        report.problems = []
        return .report(report)
    }

    private func session(_ host: FakeHost, _ password: SecretBytes?) throws -> NodeSession {
        try host.session(bundle: bundle, envoy: envoy, user: "admin", sudoPassword: password)
    }

    @Test func asksOnceAConnection() async throws {
        let host = try FakeHost(.ended(status: 0, output: "free\n"), try applied(), try applied())
        let session = try session(host, password)
        _ = try await session.apply(fullRelayDocument())
        _ = try await session.apply(fullRelayDocument())
        #expect(host.words == ["probe", "apply", "apply"])
        #expect(host.commands[0].input == Array("hunter2\n".utf8))
        #expect(host.texts[1].hasPrefix("exit 97\nexec sudo -n -- /bin/sh -c 'echo tidegate-begin "))
        #expect(host.commands.map(\.isGated) == [true, false, false], "the password goes to a login that is known")
        #expect(host.commands[1].input == document, "a password nobody asks for is not sent")
        host.die()
        host.answer(.ended(status: 0, output: "root\n"), try applied())
        _ = try await session.apply(fullRelayDocument())
        #expect(host.texts.last?.contains("sudo") == false)
    }

    @Test func handsThePasswordToSudoAlone() async throws {
        let host = try FakeHost(.ended(status: 0, output: "password\n"), try applied())
        _ = try await session(host, password).apply(fullRelayDocument())
        #expect(host.texts[1].hasPrefix("exit 97\nexec sudo -k -S -p '' -- /bin/sh -c 'line=; while"))
        #expect(host.commands[1].input == Array("hunter2\ntidegate-wait\ntidegate-input\n".utf8) + document)
        #expect(!host.texts.joined().contains("hunter2"))
    }

    @Test func quotesACommandAsOneWord() {
        let command = ("printf %s" as RemoteCommand).passing("it's\n\"$HOME\" 'x'")
        #expect("\(command)" == #"printf %s 'it'\''s"# + "\n" + #""$HOME" '\''x'\'''"#)
    }

    @Test func aSudoThatChangedItsMindIsAskedAgain() async throws {
        let host = try FakeHost(.ended(status: 0, output: "free\n"), try applied())
        let session = try session(host, nil)
        _ = try await session.apply(fullRelayDocument())
        host.answer(
            .notBegun(status: 1, error: "sudo: a password is required\n"),
            .ended(status: 0, output: "refused\n", error: "sudo: no password was provided\n"))
        await #expect(throws: EnrollmentError.self) { try await session.apply(fullRelayDocument()) }
        #expect(host.words == ["probe", "apply", "apply", "probe"])
        #expect(host.connections == 2)
    }

    @Test func tellsWhatToChange() async throws {
        let cases: [(answer: FakeHost.Answer, hasPassword: Bool, reason: EnrollmentError.Reason, words: String)] = [
            (.ended(status: 0, output: "missing\n"), true, .sudoRefused, "the host has no sudo: install it, or log in as root"),
            (
                .ended(status: 0, output: "refused\n", error: "sudo: a password is required\n"), false, .sudoPasswordMissing,
                "add it as sudoPassword to the SSH Secret"
            ),
            (
                .ended(status: 0, output: "refused\n", error: "Sorry, try again.\nsudo: 1 incorrect password attempt\n"), true,
                .sudoPasswordWrong, "did not take the sudoPassword of the SSH Secret for admin"
            ),
            (
                .ended(status: 0, output: "refused\n", error: "admin is not in the sudoers file.\n"), true, .sudoRefused,
                "add the line 'admin ALL=(ALL) NOPASSWD: ALL' to sudoers (admin is not in the sudoers file.)"
            ),
            (
                .ended(status: 0, output: "refused\n", error: "sudo: sorry, you must have a tty to run sudo\n"), true,
                .sudoRefused,
                "Defaults:admin !requiretty"
            ),
            (
                .foreign(status: 1, output: "This account is currently not available.\n"), true, .loginUnusable,
                "the login of admin runs no command: it said \"This account is currently not available.\" and ended with status 1"
            ),
        ]
        for one in cases {
            let host = try FakeHost(one.answer)
            do {
                _ = try await session(host, one.hasPassword ? password : nil).apply(fullRelayDocument())
                Issue.record("\(one.reason) was not told")
            } catch let error as EnrollmentError {
                #expect(error.reason == one.reason)
                #expect(error.followUp == .refused)
                #expect(error.message.contains(one.words), "\(error.message)")
                #expect(!error.message.contains("hunter2"))
            }
            #expect(host.words == ["probe"])
        }
    }

    @Test func tellsOfASudoThatReadsAhead() async throws {
        let host = try FakeHost(.ended(status: 0, output: "password\n"), .notBegun(status: 67))
        do {
            _ = try await session(host, password).apply(fullRelayDocument())
            Issue.record("was not told")
        } catch let error as EnrollmentError {
            #expect(error.reason == .sudoRefused)
            #expect(
                error.message.hasSuffix(
                    "as sudo-rs does: add the line 'admin ALL=(ALL) NOPASSWD: ALL' to sudoers, so that it asks for none"))
        }
    }

    @Test func tellsOfAHostThatWillNeverDo() async throws {
        let host = try FakeHost(
            .ended(status: 127), .ended(status: 66, error: "tidegate-unfit: this host is Linux on i686, and more\n"))
        let wanted = EnrollmentError(
            reason: .unsupportedHost, message: "203.0.113.10: this host is Linux on i686, and more", followUp: .stalled)
        await #expect(throws: wanted) {
            try await host.session(bundle: bundle, envoy: envoy).apply(fullRelayDocument())
        }
    }
}
