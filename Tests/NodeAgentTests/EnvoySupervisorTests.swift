import NodeDocument
import Testing

@testable import NodeAgent

/// Which Envoy is started and ended when. Process ids are given out from 101 on.
@Suite struct EnvoySupervisorTests {
    /// The supervisor, and a world in which starts succeed.
    struct Stage {
        var supervisor: EnvoySupervisor
        var now: Int64 = 1_000_000
        var pids: Int32 = 100
        var program = EnvoyProgram(version: "1.40.0", hotRestartVersion: "11.104")

        init(drainSeconds: Int = 900, hasUDP: Bool = false) {
            supervisor = EnvoySupervisor(launch: EnvoyLaunch(drainSeconds: drainSeconds, hasUDP: hasUDP, maxConnections: 100))
        }

        /// - Returns: all that was done, starts included.
        mutating func handle(_ event: EnvoySupervisor.Event, after milliseconds: Int64 = 0) -> [EnvoySupervisor.Action] {
            now += milliseconds
            var done: [EnvoySupervisor.Action] = []
            var events = [event]
            while !events.isEmpty {
                for action in supervisor.handle(events.removeFirst(), now: now) {
                    done.append(action)
                    guard case .start(let start) = action else { continue }
                    pids += 1
                    events.append(.started(start, base: start.base ?? Int(pids) * 10, pid: pids, program))
                }
            }
            return done
        }

        mutating func serve() {
            _ = handle(.begin)
            _ = handle(.live(pid: 101))
        }

        mutating func askRestart() -> [EnvoySupervisor.Action] { handle(.restartAsked(.success(program))) }

        var outcome: EnvoyRun.Outcome.Kind? { supervisor.outcome?.kind }
        var message: String { supervisor.outcome?.message ?? "" }
        var report: EnvoyRun { supervisor.report(supervisor: 1) }
    }

    private let fresh = EnvoySupervisor.Action.start(EnvoySupervisor.Start(epoch: 0, base: nil))
    private func epoch(_ number: Int) -> EnvoySupervisor.Action { .start(EnvoySupervisor.Start(epoch: number, base: 1010)) }

    @Test func startsAndServes() {
        var stage = Stage()
        #expect(stage.handle(.begin) == [fresh])
        #expect(stage.report.serving == nil)
        #expect(stage.handle(.live(pid: 101)) == [])
        #expect(stage.report.serving == EnvoyRun.Process(pid: 101, epoch: 0, version: "1.40.0", phase: "serving"))
        #expect(stage.report.restarts == 0, "nobody asked for it")
    }

    @Test func restartHandsOverAndTheFormerDrains() {
        var stage = Stage()
        stage.serve()
        #expect(stage.askRestart() == [epoch(1)])
        #expect(stage.report.serving?.pid == 101)
        #expect(stage.handle(.live(pid: 102)) == [])
        #expect(stage.report.processes.map(\.phase) == ["draining", "serving"])
        #expect(stage.outcome == .hot)
        #expect(stage.handle(.ended(pid: 101, how: "ended with status 0"), after: 900_000) == [])
        #expect(stage.askRestart() == [epoch(2)])
    }

    @Test func formerOneThatOverstaysIsEnded() {
        var stage = Stage(drainSeconds: 10)
        stage.serve()
        _ = stage.askRestart()
        _ = stage.handle(.live(pid: 102))
        #expect(stage.handle(.tick, after: 20_000) == [])
        #expect(stage.handle(.tick, after: 6000) == [.terminate(pid: 101)])
        #expect(stage.handle(.tick, after: 1000) == [])
        #expect(stage.handle(.tick, after: 5000) == [.kill(pid: 101)])
    }

    @Test func newOneThatDiesLeavesTheFormerServing() {
        var stage = Stage()
        stage.serve()
        _ = stage.askRestart()
        #expect(stage.handle(.ended(pid: 102, how: "ended with status 1")) == [.unmark(base: 1010)])
        #expect(stage.outcome == .failed)
        #expect(stage.message.hasPrefix("Envoy 1.40.0 ended with status 1 before it served; the former one serves on"))
        #expect(stage.report.serving?.pid == 101)
        // The attempt cost the former one its admin interface.
        #expect(stage.handle(.tick, after: 500) == [])
        #expect(stage.handle(.tick, after: 500) == [.askAgain])
        #expect(stage.askRestart() == [epoch(1)])
        #expect(stage.handle(.ended(pid: 103, how: "ended with status 1")) == [.unmark(base: 1010)])
        #expect(stage.handle(.tick, after: 1900) == [])
        #expect(stage.handle(.tick, after: 100) == [.askAgain])
    }

    @Test func newOneThatHangsIsEnded() {
        var stage = Stage()
        stage.serve()
        _ = stage.askRestart()
        #expect(stage.handle(.tick, after: 60_001) == [.terminate(pid: 102)])
        #expect(stage.handle(.ended(pid: 102, how: "was ended by signal 15")) == [.unmark(base: 1010)])
        #expect(stage.outcome == .failed)
        #expect(stage.message.contains("was not live in time"))
    }

    @Test func whoeverIsReplacedIsToldNothingNew() {
        var stage = Stage()
        stage.serve()
        #expect(!stage.report.isReplaced(101))
        _ = stage.askRestart()
        #expect(stage.report.isReplaced(101) && !stage.report.isReplaced(102))
        _ = stage.handle(.ended(pid: 102, how: ""))
        #expect(!stage.report.isReplaced(101), "it serves on")
        _ = stage.askRestart()
        _ = stage.handle(.live(pid: 103))
        #expect(stage.report.isReplaced(101) && !stage.report.isReplaced(103) && !stage.report.isReplaced(1))
    }

    @Test func programThatDoesNotRunChangesNothing() {
        var stage = Stage()
        stage.serve()
        #expect(stage.handle(.restartAsked(.failure(AgentError(.envoyNotRunning, "no such file")))) == [])
        #expect(stage.outcome == .failed)
        #expect(stage.message == "no such file")
        #expect(stage.handle(.tick, after: 100_000) == [])
    }

    @Test func incompatibleVersionIsAPlainRestart() {
        var stage = Stage()
        stage.serve()
        stage.program = EnvoyProgram(version: "1.41.0", hotRestartVersion: "12.104")
        #expect(stage.askRestart() == [.terminate(pid: 101)])
        #expect(stage.handle(.tick) == [], "the former one holds the ports")
        #expect(stage.handle(.ended(pid: 101, how: "ended with status 0")) == [.clear(base: 1010), fresh])
        #expect(stage.outcome == nil)
        _ = stage.handle(.live(pid: 102))
        #expect(stage.outcome == .plain)
        #expect(stage.message == "Envoy 1.40.0 cannot hand over to 1.41.0 (hot restart versions 11.104 and 12.104)")
    }

    @Test func plainRestartEndsThoseThatDrainToo() {
        var stage = Stage()
        stage.serve()
        _ = stage.askRestart()
        _ = stage.handle(.live(pid: 102))
        stage.program.hotRestartVersion = "12.104"
        #expect(stage.askRestart() == [.terminate(pid: 101), .terminate(pid: 102)])
        #expect(stage.handle(.ended(pid: 102, how: "")) == [])
        #expect(stage.handle(.ended(pid: 101, how: "")) == [.clear(base: 1010), fresh])
    }

    @Test(arguments: [
        ("1.39.3", true, false), ("1.39.3", false, true), ("1.40.0", true, true), ("2.0.1", true, true), ("dev", true, false),
    ])
    func envoyThatCannotHandUDPOverIsNotAskedTo(_ version: String, _ hasUDP: Bool, _ isHot: Bool) {
        let next = EnvoyProgram(version: "1.41.0", hotRestartVersion: "11.104")
        let running = EnvoyProgram(version: version, hotRestartVersion: "11.104")
        #expect((running.obstacle(to: next, hasUDP: hasUDP) == nil) == isHot)
    }

    @Test func envoyThatDiesIsStartedAgainAtOnceAndThenLater() {
        var stage = Stage()
        stage.serve()
        #expect(stage.handle(.ended(pid: 101, how: "was ended by signal 9"), after: 100_000) == [.clear(base: 1010), fresh])
        var waits: [Int64] = []
        for pid in Int32(102)...108 {
            var wait: Int64 = 0
            var done = stage.handle(.ended(pid: pid, how: "ended with status 1"))
            while !done.contains(fresh) {
                wait += 1000
                done = stage.handle(.tick, after: 1000)
            }
            waits.append(wait)
        }
        #expect(waits == [1000, 2000, 4000, 8000, 8000, 8000, 8000])
    }

    @Test func deathOfTheServingEndsThoseThatHoldItsUDPPorts() {
        for hasUDP in [true, false] {
            var stage = Stage(hasUDP: hasUDP)
            stage.serve()
            _ = stage.askRestart()
            _ = stage.handle(.live(pid: 102))
            #expect(stage.handle(.ended(pid: 102, how: "")) == (hasUDP ? [.terminate(pid: 101), fresh] : [fresh]))
        }
    }

    @Test func successorThatIsOnItsWayGoesOnWhenTheServingDies() {
        var stage = Stage()
        stage.serve()
        _ = stage.askRestart()
        #expect(stage.handle(.ended(pid: 101, how: "")) == [])
        _ = stage.handle(.live(pid: 102))
        #expect(stage.report.serving?.pid == 102)
    }

    @Test func bothDyingIsAFreshStart() {
        var stage = Stage()
        stage.serve()
        _ = stage.askRestart()
        _ = stage.handle(.ended(pid: 101, how: ""))
        #expect(stage.handle(.ended(pid: 102, how: "ended with status 1")) == [.clear(base: 1010), fresh])
        #expect(stage.outcome == .failed)
    }

    @Test func restartAskedForInTheMiddleOfOneIsDoneAfterIt() {
        var stage = Stage()
        stage.serve()
        _ = stage.askRestart()
        #expect(stage.askRestart() == [])
        #expect(stage.handle(.live(pid: 102)) == [.askAgain])
        #expect(stage.askRestart() == [epoch(2)])
    }

    @Test func restartAskedForInACrashLoopDoesNotWait() {
        var stage = Stage()
        _ = stage.handle(.begin)
        _ = stage.handle(.ended(pid: 101, how: "ended with status 1"))
        _ = stage.handle(.ended(pid: 102, how: "ended with status 1"))
        #expect(stage.askRestart() == [fresh])
        _ = stage.handle(.live(pid: 103))
        #expect(stage.outcome == .plain)
    }

    @Test func endWaitsForAllAndKillsTheLate() {
        var stage = Stage()
        stage.serve()
        _ = stage.askRestart()
        _ = stage.handle(.live(pid: 102))
        #expect(stage.handle(.stopAsked) == [.terminate(pid: 101), .terminate(pid: 102)])
        #expect(stage.handle(.ended(pid: 102, how: "")) == [])
        #expect(stage.askRestart() == [])
        #expect(stage.handle(.tick, after: 5000) == [.kill(pid: 101)])
        #expect(stage.handle(.ended(pid: 101, how: "")) == [.clear(base: 1010), .exit])
    }

    @Test func nothingIsLostAcrossAnotherBuild() throws {
        var stage = Stage()
        stage.serve()
        _ = stage.askRestart()
        _ = stage.handle(.live(pid: 102))
        let copy = try DocumentJSON.decode(EnvoySupervisor.self, from: try DocumentJSON.encode(stage.supervisor))
        #expect(copy == stage.supervisor)
    }

    @Test func versionsAreReadFromWhatEnvoyPrints() {
        let line = "\n/usr/local/lib/tidegate/envoy/envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL\n"
        #expect(
            EnvoyProgram.parse(versionText: line, hotRestartText: "11.104\n")
                == EnvoyProgram(version: "1.40.0", hotRestartVersion: "11.104"))
        // As Envoy 1.40 says it under systemd with cgroup v2.
        let warned = """
            [2026-11-21 18:33:59.217][423][warning][misc] [source/server/cgroup_cpu_util.cc:313] Expected cgroup v2 file not accessible
            11.104
            """
        #expect(EnvoyProgram.parse(versionText: line, hotRestartText: warned)?.hotRestartVersion == "11.104")
        for text in ["", "11", "11.x", "11.104.2", "11.104\n11.105", "+11.104 "] {
            #expect(EnvoyProgram.parse(versionText: line, hotRestartText: text) == nil)
        }
        #expect(EnvoyProgram.parse(versionText: "no", hotRestartText: "11.104") == nil)
    }
}
