import KubernetesAPI
import Logging
import Sodium
import Synchronization
import TestFiles
import Testing

@testable import KubernetesClient

/// When files are read and programs run again.
struct CredentialSourceTests {
    let folder: TemporaryFolder
    let clock = ManualClock()

    init() throws { folder = try TemporaryFolder() }

    final class ManualClock: Sendable {
        private let offset = Mutex(Duration.zero)
        private let start = ContinuousClock.now

        func advance(_ duration: Duration) { offset.withLock { $0 += duration } }

        var clock: CredentialClock {
            CredentialClock(
                now: { self.start + self.offset.withLock { $0 } },
                // 2026-01-01T00:00:00Z
                secondsSince1970: { 1_767_225_600 + self.offset.withLock { $0 }.components.seconds })
        }
    }

    private func source(_ credential: ClusterAccess.Credential) throws -> CredentialSource {
        let access = ClusterAccess(
            server: .init(isTLS: false, host: "localhost", port: 1), credential: credential, origin: "the test")
        return try CredentialSource(access, logger: silent, clock: clock.clock)
    }

    private func text(_ credentials: Credentials) -> String? {
        credentials.authorization?.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    }

    /// A program that prints this JSON and takes down that it ran.
    private func plugin(_ status: String, command: String? = nil, then rest: String = "") throws -> ExecPlugin {
        let script = try folder.write(
            "bin/login", "#!/bin/sh\necho run >> \(folder.path)/runs\n\(rest)\ncat \(folder.path)/answer\n", mode: 0o700)
        try folder.write("answer", Self.answer(status))
        return ExecPlugin(
            command: command ?? script, arguments: ["a b", "$(touch x)"], environment: [.init(name: "EXTRA", value: "1")],
            apiVersion: "client.authentication.k8s.io/v1", installHint: "get it from the shop", cluster: nil)
    }

    private static func answer(_ status: String) -> String {
        #"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":\#(status)}"#
    }

    private var runs: Int { (TemporaryFolder.read(from: "\(folder.path)/runs") ?? "").split(separator: "\n").count }

    private func failure(_ source: CredentialSource) async throws -> String {
        do throws(APIError) {
            _ = try await source.current()
        } catch {
            return error.description
        }
        return ""
    }

    @Test func readsATokenOnceAMinute() async throws {
        let file = try folder.write("token", "one\n")
        let source = try source(.tokenFile(file, fallback: nil))
        try folder.write("token", "two\n")
        clock.advance(.seconds(59))
        #expect(text(try await source.current()) == "Bearer one")
        clock.advance(.seconds(1))
        let second = try await source.current()
        #expect(text(second) == "Bearer two" && second.generation == 1)
        // A moment without the file is no harm.
        try folder.write("token", "")
        clock.advance(.seconds(60))
        #expect(text(try await source.current()) == "Bearer two")
    }

    @Test func readsARefusedTokenAtOnce() async throws {
        let file = try folder.write("token", "one")
        let source = try source(.tokenFile(file, fallback: nil))
        #expect(try await source.current(after: 0).generation == 0)
        try folder.write("token", "two")
        #expect(text(try await source.current()) == "Bearer one")
        #expect(text(try await source.current(after: 0)) == "Bearer two")
        #expect(try await source.current(after: 0).generation == 1)
    }

    @Test func aTokenServesUntilItsFileIsThere() async throws {
        let source = try source(.tokenFile("\(folder.path)/token", fallback: try SecretBytes(copying: "old".utf8)))
        #expect(text(try await source.current()) == "Bearer old")
        try folder.write("token", "new")
        clock.advance(.seconds(60))
        #expect(text(try await source.current()) == "Bearer new")
        #expect(throws: ClusterAccessError.self) { try self.source(.tokenFile("/no/such", fallback: nil)) }
    }

    @Test func aPasswordIsBasic() async throws {
        let source = try source(.basic(user: "jane", password: try SecretBytes(copying: "pa:ss".utf8)))
        #expect(text(try await source.current()) == "Basic amFuZTpwYTpzcw==")
    }

    @Test(arguments: ["", " \n", "a b", "a\nb", "ü"])
    func refusesWhatIsNoToken(token: String) throws {
        let file = try folder.write("token", token)
        #expect(throws: ClusterAccessError.self) { try source(.tokenFile(file, fallback: nil)) }
    }

    @Test func runsAProgramOnceForAllUntilItsTimeIsOver() async throws {
        let source = try source(.exec(try plugin(#"{"token":"one","expirationTimestamp":"2026-01-01T00:10:00Z"}"#)))
        #expect(runs == 0)
        let texts = try await withThrowingTaskGroup { group in
            for _ in 0..<20 { group.addTask { text(try await source.current()) } }
            return try await group.reduce(into: Set<String?>()) { $0.insert($1) }
        }
        #expect(texts == ["Bearer one"] && runs == 1)
        try folder.write("answer", Self.answer(#"{"token":"two"}"#))
        clock.advance(.seconds(599))
        #expect(text(try await source.current()) == "Bearer one")
        clock.advance(.seconds(1))
        #expect(text(try await source.current()) == "Bearer two" && runs == 2)
        clock.advance(.seconds(100_000))
        #expect(text(try await source.current()) == "Bearer two" && runs == 2)
    }

    @Test func runsAProgramAgainWhenItsTokenIsRefused() async throws {
        let source = try source(.exec(try plugin(#"{"token":"one"}"#)))
        let first = try await source.current()
        try folder.write("answer", Self.answer(#"{"token":"two"}"#))
        // Not at once after it ran: the server would have it run without end.
        #expect(try await source.current(after: first.generation).generation == first.generation)
        clock.advance(.seconds(10))
        #expect(text(try await source.current(after: first.generation)) == "Bearer two" && runs == 2)
        #expect(text(try await source.current(after: first.generation)) == "Bearer two" && runs == 2)
    }

    @Test func leavesAFailingProgramAloneForAWhile() async throws {
        let source = try source(.exec(try plugin(#"{"token":"one"}"#, then: "[ -e \(folder.path)/ready ] || exit 3")))
        let complaint = try await failure(source)
        #expect(complaint.contains("the test: the program \(folder.path)/bin/login gave no credentials: it ended with status 3"))
        #expect(try await failure(source) == complaint && runs == 1)
        try folder.write("ready", "")
        clock.advance(.seconds(10))
        #expect(text(try await source.current()) == "Bearer one" && runs == 2)
    }

    @Test func tellsTheProgramWhatItIsTold() async throws {
        let seen = "\(folder.path)/seen"
        var plugin = try plugin(
            #"{"token":"one"}"#,
            then: "printf '%s|' \"$@\" \"$EXTRA\" \"$KUBERNETES_EXEC_INFO\" > \(seen); readlink /proc/$$/fd/0 >> \(seen)")
        plugin.cluster = .init(
            server: "https://a:443", tlsServerName: "b", isUnchecked: false,
            authority: .bytes(try SecretBytes(copying: "PEM-".utf8)))
        _ = try await source(.exec(plugin)).current()
        let info =
            #"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"cluster":{"#
            + #""certificate-authority-data":"UEVNLQ==","server":"https://a:443","tls-server-name":"b"},"interactive":false}}"#
        #expect(TemporaryFolder.read(from: seen) == "a b|$(touch x)|1|\(info)|/dev/null\n")
    }

    @Test func namesAProgramThatIsNotThere() async throws {
        let bare = try source(.exec(try plugin("{}", command: "tidegate-no-such-program")))
        #expect(try await failure(bare).contains("No such file or directory; the kubeconfig's hint: get it from the shop"))
    }

    @Test(arguments: [
        (#"{"token":"hush","expirationTimestamp":"2025-12-31T23:59:59Z"}"#, "have expired already"),
        (#"{"token":"hush","expirationTimestamp":"soon"}"#, "expirationTimestamp is no time"),
        (#"{"token":"hush","clientKeyData":"x"}"#, "one of clientCertificateData and clientKeyData"), ("{}", "neither token nor"),
        ("[]", "has no status"), (#"{"token":"hush hush"}"#, "holds characters that no token has"),
        (#"{"token":"hush"}}"#, "it printed no JSON"),
    ])
    func saysWhatIsWrongWithAnAnswer(status: String, expected: String) async throws {
        let source = try source(.exec(plugin(status)))
        let complaint = try await failure(source)
        #expect(try await failure(source) == complaint)
        #expect(complaint.contains(expected) && !complaint.contains("hush"), "\(complaint)")
    }

    @Test func killsAProgramThatIsUnderWayAtTheEnd() async throws {
        let source = try source(.exec(try plugin("{}", then: "echo $$ > \(folder.path)/pid; exec sleep 1000")))
        let waiting = Task { try await failure(source) }
        while (TemporaryFolder.read(from: "\(folder.path)/pid") ?? "").isEmpty {
            try await Task.sleep(for: .milliseconds(10))
        }
        source.stop()
        #expect(try await waiting.value.contains("it was killed"))
    }

    @Test(arguments: [
        ("2026-01-01T00:00:00Z", 1_767_225_600), ("2026-01-01T01:30:00.999+01:30", 1_767_225_600),
        ("2025-12-31T19:00:00-05:00", 1_767_225_600), ("1970-01-01t00:00:00z", 0),
    ])
    func readsATime(text: String, expected: Int64) { #expect(secondsSince1970(rfc3339: text) == expected) }

    @Test(arguments: [
        "", "2026-01-01", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z",
    ])
    func refusesWhatIsNoTime(text: String) { #expect(secondsSince1970(rfc3339: text) == nil) }
}
