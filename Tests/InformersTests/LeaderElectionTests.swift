import Documents
import JSON
import KubernetesAPI
import Synchronization
import Testing

@testable import LeaseElection
@testable import Timing

@Suite(.timeLimit(.minutes(5))) struct LeaderElectionTests {
    private static let name = thingName("tidegate")

    private struct Bench {
        let shelf = Shelf()
        let time = ManualTime()
        let logs = Notes()

        func election(_ identity: String? = nil, timing: LeaderElection.Timing = LeaderElection.Timing()) -> LeaderElection {
            LeaderElection(shelf.server, name, identity: identity, timing: timing, time: time.source(), logger: logs.logger)
        }

        var spec: FieldNode? { shelf.fields("leases", name)?["spec"] }
        var holder: String? { spec?["holderIdentity"]?.text }
        var transitions: Int64? { spec?["leaseTransitions"]?.integer }

        /// Lets a wait of just that length pass.
        func pass(_ duration: Duration) async {
            await eventually { time.naps.contains(duration) }
            time.advance(by: duration)
        }

        /// Another's write.
        func hold(_ identity: String, transitions: Int64) {
            let record = Lease.Record(
                holder: identity, duration: 15, acquired: nil, renewed: MicroTime(microseconds: 1), transitions: transitions)
            shelf.put("leases", name, ["spec": record.fieldValue])
        }
    }

    /// Work that lasts until it is cancelled or the test ends it, and what it saw.
    private final class Work: Sendable {
        let leadership = Mutex<Leadership?>(nil)
        let wasCancelled = Mutex(false)
        let mayEnd = Mutex(false)

        func run(_ leadership: Leadership) async {
            self.leadership.withLock { $0 = leadership }
            await eventually { mayEnd.withLock { $0 } }
            wasCancelled.withLock { $0 = Task.isCancelled }
        }

        var epoch: UInt64? { leadership.withLock { $0?.epoch } }
        var hasBegun: Bool { leadership.withLock { $0 != nil } }
        func end() { mayEnd.withLock { $0 = true } }
    }

    private func start(_ election: LeaderElection, _ work: Work) -> Task<Void, any Error> {
        Task { try await election.run { await work.run($0) } }
    }

    @Test func leadsRenewsAndGivesBack() async throws {
        let bench = Bench()
        let work = Work()
        // No multiple of it is 10 s: so the waits for it are told from those for the end of the term.
        var timing = LeaderElection.Timing()
        timing.retryPeriod = .milliseconds(2100)
        let election = bench.election("me", timing: timing)
        let run = start(election, work)
        await eventually { work.hasBegun }
        #expect(work.epoch == 1 && election.isLeader && election.holder == "me" && bench.holder == "me")
        for _ in 0..<20 {
            let before = bench.spec?["renewTime"]?.text
            await bench.pass(timing.retryPeriod)
            await eventually { bench.spec?["renewTime"]?.text != before }
        }
        #expect(work.epoch == 1)
        // No reading in between.
        #expect(bench.shelf.requests.count == 22)
        work.end()
        try await run.value
        #expect(!work.wasCancelled.withLock { $0 })
        #expect(bench.holder == nil && bench.transitions == 0)
        #expect(bench.spec?["leaseDurationSeconds"]?.integer == 1)
        #expect(!election.isLeader && work.epoch == nil)
        // The next need not wait.
        let next = Work()
        let other = start(bench.election("other"), next)
        await eventually { next.hasBegun }
        #expect(next.epoch == 2)
        next.end()
        try await other.value
    }

    @Test func waitsForALeaderWhoIsGone() async throws {
        let bench = Bench()
        bench.hold("gone", transitions: 6)
        let work = Work()
        let run = start(bench.election("me"), work)
        // Seen at 0 s; it runs out at 15 s, and the next look is at 16 s.
        for _ in 0..<7 {
            await bench.pass(.seconds(2))
            #expect(!work.hasBegun)
        }
        await bench.pass(.seconds(2))
        await eventually { work.hasBegun }
        #expect(work.epoch == 8)
        #expect(bench.logs.all.contains("info: another leads"))
        work.end()
        try await run.value
    }

    @Test func stopsBeforeAnotherMayBegin() async throws {
        let bench = Bench()
        let work = Work()
        let run = start(bench.election("me"), work)
        await eventually { work.hasBegun && bench.time.naps.contains(.seconds(2)) }
        bench.shelf.refuse { _ in .unreachable("away") }
        bench.time.advance(by: .milliseconds(9999))
        #expect(work.epoch == 1)
        bench.time.advance(by: .milliseconds(1))
        // Known at once, before anybody is told.
        #expect(work.epoch == nil)
        await #expect(throws: LeadershipError.lost) { try await run.value }
        #expect(work.wasCancelled.withLock { $0 })
        // It may be another's by now: it is left alone.
        #expect(bench.holder == "me")
    }

    @Test func aRequestThatHangsDoesNotHoldItUp() async throws {
        let bench = Bench()
        let work = Work()
        let run = start(bench.election("me"), work)
        await eventually { work.hasBegun && bench.time.naps.contains(.seconds(2)) }
        bench.shelf.hang { _ in true }
        bench.time.advance(by: .seconds(2))
        // Half of the renew deadline, then another try.
        await bench.pass(.seconds(5))
        await bench.pass(.seconds(2))
        await eventually { bench.shelf.requests.count == 4 }
        bench.time.advance(by: .seconds(1))
        await #expect(throws: LeadershipError.lost) { try await run.value }
    }

    @Test func wakesUpAsNobody() async throws {
        let bench = Bench()
        let work = Work()
        let run = start(bench.election("me"), work)
        await eventually { work.hasBegun && bench.time.naps.contains(.seconds(2)) }
        let requests = bench.shelf.requests.count
        // Stopped (SIGSTOP) for a minute; meanwhile another took over.
        bench.time.advance(by: .seconds(60))
        #expect(work.epoch == nil)
        await #expect(throws: LeadershipError.lost) { try await run.value }
        #expect(bench.shelf.requests.count == requests)
    }

    @Test func stopsWhenAnotherHoldsTheLease() async throws {
        let bench = Bench()
        let work = Work()
        let run = start(bench.election("me"), work)
        await eventually { work.hasBegun }
        bench.hold("thief", transitions: 9)
        await bench.pass(.seconds(2))
        await #expect(throws: LeadershipError.lost) { try await run.value }
        #expect(bench.holder == "thief")
    }

    @Test func provesThatItLeads() async throws {
        let bench = Bench()
        let work = Work()
        let run = start(bench.election("me"), work)
        await eventually { work.hasBegun }
        let leadership = try #require(work.leadership.withLock { $0 })
        try await leadership.prove()
        #expect(work.epoch == 1 && bench.transitions == 0)
        bench.shelf.refuse { _ in Shelf.error(403, "Forbidden") }
        await #expect(throws: LeadershipError.lease("edge/tidegate", Shelf.error(403, "Forbidden"))) {
            try await leadership.prove()
        }
        bench.shelf.refuse { _ in nil }
        bench.hold("thief", transitions: 70)
        await #expect(throws: LeadershipError.lost) { try await leadership.prove() }
        bench.hold("me", transitions: 71)
        await #expect(throws: LeadershipError.lost) { try await leadership.prove() }
        #expect(throws: LeadershipError.lost) { try leadership.currentEpoch() }
        work.end()
        _ = await run.result
    }

    @Test func aDeletedLeaseProvesNothing() async throws {
        let bench = Bench()
        let time = bench.time.source()
        let leadership = try await LeaderElection.seize(
            bench.shelf.server, Self.name, identity: "me", time: time, logger: bench.logs.logger)
        bench.shelf.remove("leases", Self.name)
        await #expect(throws: LeadershipError.lost) { try await leadership.prove() }
    }

    @Test func leadsWithALeaseThatWasBurned() async throws {
        let bench = Bench()
        bench.hold("gone", transitions: Lease.mostTransitions)
        let leadership = try await LeaderElection.seize(
            bench.shelf.server, Self.name, identity: "me", time: bench.time.source(), logger: bench.logs.logger)
        #expect(leadership.epoch == 1 && bench.transitions == 0)
        try await leadership.prove()
    }

    @Test func seizesTheLease() async throws {
        let bench = Bench()
        let time = bench.time.source()
        func seize(_ identity: String) async throws -> Leadership {
            try await LeaderElection.seize(
                bench.shelf.server, Self.name, identity: identity, time: time, logger: bench.logs.logger)
        }
        let first = try await seize("first")
        #expect(first.epoch == 1)
        bench.time.advance(by: .seconds(100_000))
        #expect(first.epoch == 1)
        let second = try await seize("second")
        #expect(second.epoch == 2 && bench.holder == "second")
        try await second.prove()
        await #expect(throws: LeadershipError.lost) { try await first.prove() }
        #expect(first.writer != second.writer)
        #expect(first.epoch == nil)
        // While the server is away it waits.
        bench.shelf.refuse { _ in .unreachable("away") }
        async let third = seize("third")
        await eventually { bench.time.naps.contains(.seconds(2)) }
        bench.shelf.refuse { _ in nil }
        bench.time.advance(by: .seconds(2))
        #expect(try await third.epoch == 3)
        bench.shelf.refuse { _ in Shelf.error(403, "Forbidden") }
        await #expect(throws: LeadershipError.lease("edge/tidegate", Shelf.error(403, "Forbidden"))) {
            try await seize("fourth")
        }
    }

    @Test func cancelledItGivesTheLeaseBack() async throws {
        let bench = Bench()
        let work = Work()
        let run = start(bench.election("me"), work)
        await eventually { work.hasBegun }
        run.cancel()
        try await run.value
        #expect(work.wasCancelled.withLock { $0 })
        #expect(bench.holder == nil)
        // Before it leads there is nothing to give back.
        bench.hold("other", transitions: 3)
        let waiting = start(bench.election("me"), Work())
        await eventually { bench.time.naps.contains(.seconds(2)) }
        waiting.cancel()
        try await waiting.value
        #expect(bench.holder == "other")
    }

    @Test func aTermIsNotTheNext() async throws {
        let bench = Bench()
        let election = bench.election("me")
        let (first, second) = (Work(), Work())
        var run = start(election, first)
        await eventually { first.hasBegun }
        let old = try #require(first.leadership.withLock { $0 })
        bench.time.advance(by: .seconds(11))
        await #expect(throws: LeadershipError.lost) { try await run.value }
        run = start(election, second)
        await eventually { second.hasBegun }
        #expect(second.epoch == 2 && old.epoch == nil)
        await #expect(throws: LeadershipError.lost) { try await old.prove() }
        let new = try #require(second.leadership.withLock { $0 })
        #expect(second.epoch == 2 && new.writer != old.writer)
        second.end()
        try await run.value
    }

    @Test func failedWorkGivesTheLeaseBack() async {
        struct Trouble: Error {}
        let bench = Bench()
        let election = bench.election("me")
        await #expect(throws: Trouble.self) { try await election.run { _ in throw Trouble() } }
        #expect(bench.holder == nil)
    }

    @Test func identitiesDiffer() {
        let bench = Bench()
        let identities = Set((0..<50).map { _ in bench.election().identity })
        #expect(identities.count == 50)
        for identity in identities {
            let parts = identity.split(separator: "_")
            #expect(parts.last?.split(separator: "-").map(\.count) == [8, 4, 4, 4, 12])
        }
    }
}
