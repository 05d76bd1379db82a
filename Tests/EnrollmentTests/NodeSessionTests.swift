import Fixtures
import Foundation
import NetworkTypes
import NodeDocument
import Sodium
import Synchronization
import TestFiles
import TestPrograms
import Testing

@testable import Enrollment
@testable import SSH

/// The agent's protocol: which answer leads to which push, and what each failure is called.
@Suite struct NodeSessionTests {
    private let folder: TemporaryFolder
    private let bundle: AgentBundle
    private let file: EnvoySource

    init() throws {
        folder = try TemporaryFolder()
        let path = try folder.write("agent.tar.gz", Array("bundle".utf8))
        try folder.write("agent.build", Array("b1\n".utf8))
        bundle = try AgentBundle(path: path)
        file = try EnvoySource(parsing: try folder.write("envoy", Array("ENVOY".utf8)), version: "1.40.0", sha256: nil)
    }

    private func report(_ outcome: AgentReport.Outcome, _ problems: [AgentProblem] = []) throws -> AgentReport {
        var report = try fullAgentReport()
        report.agentBuild = bundle.build
        report.outcome = outcome
        report.problems = problems
        return report
    }

    private func apply(_ host: FakeHost, envoy: EnvoySource? = nil) async throws -> AgentReport {
        try await host.session(bundle: bundle, envoy: envoy ?? file).apply(fullRelayDocument())
    }

    private func failure(_ host: FakeHost, envoy: EnvoySource? = nil) async throws -> EnrollmentError? {
        do {
            _ = try await apply(host, envoy: envoy)
            return nil
        } catch let error as EnrollmentError {
            return error
        }
    }

    // MARK: what is sent

    @Test func asksOnce() async throws {
        let host = try FakeHost(.report(try report(.applied)))
        let session = try host.session(bundle: bundle, envoy: file)
        #expect(try await session.apply(fullRelayDocument()) == report(.applied))
        let document = try DocumentJSON.encode(fullRelayDocument())
        #expect(host.commands == [.init(word: "apply", input: document, isGated: true)])
        // And again over the same connection, whose login is known by now: that costs no round trip more.
        host.answer(.report(try report(.applied)))
        _ = try await session.apply(fullRelayDocument())
        #expect(host.commands.last == .init(word: "apply", input: document, isGated: false))
        #expect(host.connections == 1)
        await session.close()
        #expect(host.closed == 1)
    }

    /// Once for the kept connection, and not for one that this side ended or replaced.
    @Test func tellsOfALoss() async throws {
        let host = try FakeHost(.report(try report(.applied)), .report(try report(.applied)))
        let losses = Mutex(0)
        let session = try host.session(bundle: bundle, envoy: file, onLoss: { losses.withLock { $0 += 1 } })
        _ = try await session.apply(fullRelayDocument())
        host.die()
        await host.tellEnd()
        #expect(losses.withLock { $0 } == 1)
        // Both connections end, but the first one is known to.
        _ = try await session.apply(fullRelayDocument())
        await host.tellEnd()
        #expect(losses.withLock { $0 } == 2)
        await session.close()
        await host.tellEnd()
        #expect(losses.withLock { $0 } == 2)
        #expect(host.connections == 2)
    }

    /// What the shell answers where there is no agent, what another build answers, and one that crashes at its start.
    @Test func pushesTheAgentWhereItIsNeeded() async throws {
        let answers: [FakeHost.Answer] = [
            .ended(status: 127, error: "sh: not found"), .ended(status: 126, error: "Permission denied"),
            .report(try report(.needsAgent)),
            .ended(status: 139, error: "Segmentation fault"),
        ]
        let document = try DocumentJSON.encode(fullRelayDocument())
        for answer in answers {
            let host = try FakeHost(answer, .report(try report(.applied)))
            _ = try await apply(host)
            #expect(host.words == ["apply", "install"])
            // Its length in blocks, its digest, itself, and at once what it shall apply.
            let header = Array("1 \(bundle.sha256)\n".utf8)
            let padded = Array("bundle".utf8) + [UInt8](repeating: 0, count: 65530)
            #expect(host.commands.last == .init(word: "install", input: header + padded + document, isGated: true))
        }
    }

    @Test func replacesAnAgentWhoseReportItCannotRead() async throws {
        let old = FakeHost.Answer.ended(status: 0, output: #"{"agentBuild":"of-long-ago","outcome":"whatever"}"#)
        let host = try FakeHost(old, .report(try report(.applied)))
        #expect(try await apply(host).outcome == .applied)
        #expect(host.words == ["apply", "install"])
    }

    @Test func pushesEnvoyWhereItIsNeeded() async throws {
        let host = try FakeHost(
            .ended(status: 127), .report(try report(.needsEnvoy)), .report(try report(.observed)), .report(try report(.applied)))
        _ = try await apply(host)
        #expect(host.words == ["apply", "install", "install-envoy", "apply"])
        let header = Array((#"{"length":5,"sha256":"\#(SHA256.digest(of: "ENVOY"))","version":"1.40.0"}"# + "\n").utf8)
        #expect(host.commands[2].input.starts(with: header))
        #expect(try unzipped(Array(host.commands[2].input.dropFirst(header.count))) == Array("ENVOY".utf8))
        #expect(host.commands[2].isGated)
        #expect(host.connections == 1)
    }

    @Test func neverGoesRoundInCircles() async throws {
        let host = try FakeHost(.report(try report(.needsAgent)), .report(try report(.needsAgent)))
        let error = try await failure(host)
        #expect(host.words == ["apply", "install"])
        #expect(error?.message == "203.0.113.10: the agent still answers needsAgent after it got what it asked for")
        let envoy = try FakeHost(
            .report(try report(.needsEnvoy)), .report(try report(.observed)), .report(try report(.needsEnvoy)))
        #expect(try await failure(envoy)?.reason == .agentFailed)
        #expect(envoy.words == ["apply", "install-envoy", "apply"])
    }

    /// One that says so each time is not sent tens of megabytes each time.
    @Test func pushesNoMoreThanAFewTimesAtAHostsWord() async throws {
        let host = try FakeHost()
        let session = try host.session(bundle: bundle, envoy: file)
        for _ in 0..<8 {
            host.answer(.report(try report(.needsEnvoy)), .report(try report(.observed)), .report(try report(.needsEnvoy)))
            await #expect(throws: EnrollmentError.self) { try await session.apply(fullRelayDocument()) }
        }
        #expect(host.words.count { $0 == "install-envoy" } == 8)
        for answer in [FakeHost.Answer.report(try report(.needsEnvoy)), .ended(status: 127)] {
            host.answer(answer)
            let error = await #expect(throws: EnrollmentError.self) { try await session.apply(fullRelayDocument()) }
            #expect(error?.followUp == .retry)
            #expect(error?.message.contains("the next push may be in 10 min") == true)
        }
        #expect(host.words.count { $0.hasPrefix("install") } == 8)
    }

    @Test func hasNoEnvoyToPushWhereHostsDownloadIt() async throws {
        let url = try EnvoySource(parsing: "https://example.com/envoy", version: "1.40.0", sha256: SHA256.digest(of: "e"))
        let host = try FakeHost(.report(try report(.needsEnvoy)))
        let error = try await failure(host, envoy: url)
        #expect(error?.reason == .envoyInstallFailed)
        #expect(host.words == ["apply"])
    }

    // MARK: lost connections

    @Test func connectsAnewWhenTheKeptConnectionIsDead() async throws {
        let host = try FakeHost(.report(try report(.applied)))
        let session = try host.session(bundle: bundle, envoy: file)
        _ = try await session.apply(fullRelayDocument())
        // Known to be dead: no command is lost.
        host.die()
        host.answer(.report(try report(.applied)))
        _ = try await session.apply(fullRelayDocument())
        #expect(host.connections == 2)
        #expect(host.words.count == 2)
        // Found dead by the command: once more.
        host.answer(.fails(.connectionLost(during: .idle, "reset")), .report(try report(.applied)))
        _ = try await session.apply(fullRelayDocument())
        #expect(host.connections == 3)
        #expect(host.closed == 2)
        #expect(await session.statistics.execs == 3)
    }

    @Test func tellsWhenAFreshConnectionIsLost() async throws {
        let host = try FakeHost(.fails(.connectionLost(during: .idle, "reset")))
        let error = try await failure(host)
        #expect(error?.reason == .connectionLost)
        #expect(error?.followUp == .retry)
        #expect(host.words == ["apply"])
    }

    @Test func doesNotRepeatWhatFailedOtherwise() async throws {
        let host = try FakeHost(.report(try report(.applied)))
        let session = try host.session(bundle: bundle, envoy: file)
        _ = try await session.apply(fullRelayDocument())
        host.answer(.fails(.outputTooLarge(command: "apply", limit: 1)))
        await #expect(throws: EnrollmentError.self) { try await session.apply(fullRelayDocument()) }
        #expect(host.words == ["apply", "apply"])
    }

    @Test func namesWhatStandsInTheWay() async throws {
        let cases: [(SSHError.Reason, EnrollmentError.Reason, FollowUp)] = [
            (.refused([]), .unreachable, .retry), (.nameUnresolvable("no such name"), .unreachable, .retry),
            (.authenticationRefused(tried: ["publickey"], offered: ["password"], hints: []), .authenticationFailed, .refused),
            (.authenticationTimedOut(after: .seconds(1)), .authenticationFailed, .retry),
            (.notSSH("HTTP/1.1"), .unreachable, .refused), (.notSSH(""), .unreachable, .retry),
            (.keyUnreadable("no key"), .sshSecretInvalid, .waiting), (.outOfResources("threads"), .unreachable, .retry),
        ]
        for (reason, expected, followUp) in cases {
            let host = try FakeHost()
            host.refuse(reason)
            let error = try await failure(host)
            #expect(error?.reason == expected)
            #expect(error?.followUp == followUp)
            #expect(error?.message.hasPrefix("ssh root@203.0.113.10:22: ") == true)
            #expect(error?.message.hasSuffix("(during apply)") == true)
        }
    }

    // MARK: what the agent says

    @Test func tellsOfEachRefusal() async throws {
        let cases: [(AgentProblem.Kind, EnrollmentError.Reason, FollowUp)] = [
            (.foreignOwner, .foreignOwner, .stalled), (.staleEpoch, .staleEpoch, .stalled),
            (.unsupportedHost, .unsupportedHost, .stalled),
            (.badDocument, .documentRefused, .stalled), (.diskFull, .diskFull, .retry), (.busy, .busy, .retry),
            (.envoyInstall, .envoyInstallFailed, .retry), (.envoyRejected, .agentFailed, .retry),
            (.envoyNotRunning, .agentFailed, .retry),
            (.wireGuard, .agentFailed, .retry), (.network, .agentFailed, .retry), (.system, .agentFailed, .retry),
        ]
        for (kind, reason, followUp) in cases {
            let problems = [AgentProblem(kind: .system, message: "second"), AgentProblem(kind: kind, message: "first")]
            let error = try await failure(try FakeHost(.report(try report(.refused, problems))))
            let epoch: UInt64? = kind == .staleEpoch ? try report(.refused).epoch : nil
            #expect(
                error
                    == EnrollmentError(
                        reason: reason, message: "203.0.113.10: first (besides: second)", followUp: followUp, epochSeen: epoch))
        }
        #expect(try await failure(try FakeHost(.report(try report(.refused))))?.reason == .agentFailed)
    }

    @Test func tellsWhenThereIsNoReport() async throws {
        let garbage = try await failure(try FakeHost(.ended(status: 3, output: "Out!\n", error: "panic\u{1B}[2J at 7")))
        #expect(garbage?.reason == .agentFailed)
        #expect(
            garbage?.message
                == "203.0.113.10: the agent gave no report (not valid JSON) and ended with status 3: Out!; panic\\u{1b}[2J at 7")
        let silent = try await failure(try FakeHost(.ended(status: 0)))
        #expect(silent?.message == "203.0.113.10: the agent gave no report (not valid JSON) and ended with status 0")
        let killed = try await failure(try FakeHost(.ended(status: nil, signal: "KILL", output: "{")))
        #expect(killed?.message == "203.0.113.10: the agent gave no report (not valid JSON) and was killed by SIGKILL: {")
    }

    @Test func tellsWhyTheAgentCouldNotBeInstalled() async throws {
        let full = try FakeHost(
            .ended(status: 127),
            .ended(status: 65, error: "tidegate-install: cannot write the bundle: dd: No space left on device\n"))
        let error = try await failure(full)
        #expect(error?.reason == .diskFull)
        #expect(error?.message.contains("cannot write the bundle: dd: No space left on device") == true)
        #expect(full.words == ["apply", "install"])
        let silent = try await failure(try FakeHost(.ended(status: 127), .ended(status: 1)))
        #expect(silent?.reason == .agentInstallFailed)
        #expect(silent?.message == "203.0.113.10: the agent could not be installed: the host said nothing")
    }

    @Test func tellsWhenEnvoyWasRefused() async throws {
        let problem = AgentProblem(kind: .envoyInstall, message: "the digest does not match")
        let host = try FakeHost(.report(try report(.needsEnvoy)), .report(try report(.refused, [problem])))
        #expect(try await failure(host)?.reason == .envoyInstallFailed)
        #expect(host.words == ["apply", "install-envoy"])
    }

    // MARK: teardown

    @Test func tearsDown() async throws {
        let owner = Owner(installation: "i", namespace: "n", name: "x")
        let host = try FakeHost(.report(try report(.applied)), .ended(status: 0, output: "tidegate-absent\n"))
        let session = try host.session(bundle: bundle, envoy: file)
        #expect(try await session.teardown(TeardownRequest(owner: owner, epoch: 3))?.outcome == .applied)
        let input = #"{"epoch":3,"installation":"i","name":"x","namespace":"n"}"#
        #expect(
            host.commands.first == .init(word: "teardown", input: Array(input.utf8), isGated: true),
            "an older agent reads it as an Owner")
        // Where the host says so there is nothing of ours, and no agent is pushed for it.
        #expect(try await session.teardown(TeardownRequest(owner: owner, epoch: 3)) == nil)
        #expect(host.words == ["teardown", "teardown"])
        host.answer(.report(try report(.refused, [AgentProblem(kind: .foreignOwner, message: "theirs")])))
        await #expect(throws: EnrollmentError(reason: .foreignOwner, message: "203.0.113.10: theirs", followUp: .stalled)) {
            try await session.teardown(TeardownRequest(owner: owner, epoch: 3))
        }
    }
    /// Only the host's own answer to our question is believed: not that of another shell, nor of one that ends early, nor a broken agent.
    @Test func doesNotTakeSilenceForAbsence() async throws {
        let owner = Owner(installation: "i", namespace: "n", name: "x")
        let request = TeardownRequest(owner: owner, epoch: 3)
        for answer: FakeHost.Answer in [
            .foreign(status: 127, error: "sh: 1: exec: not found"), .foreign(status: 0, output: "tidegate-absent\n"),
            .notBegun(status: 127), .ended(status: nil, signal: "KILL"), .ended(status: 1),
        ] {
            let host = try FakeHost(answer)
            let session = try host.session(bundle: bundle, envoy: file)
            await #expect(throws: EnrollmentError.self) { try await session.teardown(request) }
            #expect(host.words == ["teardown"])
        }
        // Something of ours is there, and no agent that starts: another does it.
        let host = try FakeHost(.ended(status: 127), .report(try report(.applied)))
        #expect(try await host.session(bundle: bundle, envoy: file).teardown(request)?.outcome == .applied)
        #expect(host.words == ["teardown", "install-teardown"])
    }

    // MARK: bounds

    /// A deadline for each step, whatever a host goes on saying.
    @Test func everyStepHasATime() async throws {
        let host = try FakeHost(
            .ended(status: 127), .report(try report(.needsEnvoy)), .report(try report(.observed)), .report(try report(.applied)))
        _ = try await apply(host)
        #expect(host.limits.map(\.timeout) == [.seconds(180), .seconds(242), .seconds(60), .seconds(180)])
        let slow = try FakeHost(.fails(.commandTimedOut(command: "apply", after: .seconds(180))))
        let error = try await failure(slow)
        #expect(error?.reason == .timedOut)
        #expect(error?.message == "ssh root@203.0.113.10:22: \"apply\" did not end within 180 s (during apply)")
        #expect(slow.words == ["apply"])
    }

    @Test func aDownloadMayTakeItsTimeOnce() async throws {
        let url = try EnvoySource(parsing: "https://example.com/envoy", version: "1.40.0", sha256: SHA256.digest(of: "e"))
        let host = try FakeHost(.report(try report(.applied)), .report(try report(.applied)))
        let session = try host.session(bundle: bundle, envoy: url)
        for _ in 0..<2 { _ = try await session.apply(fullRelayDocument()) }
        #expect(host.limits.map(\.timeout) == [.seconds(800), .seconds(180)])
    }

    @Test func aReportBeyondItsBoundsIsNone() async throws {
        let drift = String(repeating: #""","#, count: 200_000)
        let error = try await failure(try FakeHost(.ended(status: 0, output: #"{"drift":[\#(drift)""]}"#)))
        #expect(error?.reason == .agentFailed)
        #expect(error?.message.contains("more than a report may be") == true)
    }
}

/// What gzip(1) makes of it.
private func unzipped(_ bytes: [UInt8]) throws -> [UInt8] {
    try ProgramRun("/usr/bin/gzip", ["-dc"], input: bytes).bytes
}
