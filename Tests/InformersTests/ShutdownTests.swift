import Documents
import EdgeAPI
import JSON
import KubernetesAPI
import ServiceLifecycle
import Synchronization
import Testing

@testable import EventRecording
@testable import Informers
@testable import LeaseElection
@testable import Timing

@Suite(.timeLimit(.minutes(5))) struct ShutdownTests {
    private struct Part: ServiceLifecycle.Service {
        let body: @Sendable () async throws -> Void
        func run() async throws { try await body() }
    }

    /// Runs `body` as a service; `meanwhile` is given what shuts it down in good order.
    private func serve(
        _ body: @escaping @Sendable () async throws -> Void, meanwhile: (_ shutDown: () async -> Void) async -> Void
    ) async throws {
        let part = ServiceGroupConfiguration.ServiceConfiguration(
            service: Part(body: body), successTerminationBehavior: .gracefullyShutdownGroup)
        let group = ServiceGroup(configuration: ServiceGroupConfiguration(services: [part], logger: Notes().logger))
        let run = Task { try await group.run() }
        await meanwhile { await group.triggerGracefulShutdown() }
        try await run.value
    }

    @Test func theLeaseIsHeldUntilTheWorkIsDone() async throws {
        let (shelf, time) = (Shelf(), ManualTime())
        let name = thingName("tidegate")
        let election = LeaderElection(shelf.server, name, identity: "me", time: time.source(), logger: Notes().logger)
        let hasBegun = Mutex(false)
        let mayEnd = Mutex(false)
        let wasCancelled = Mutex(false)
        var holder: String? { shelf.fields("leases", name)?["spec"]?["holderIdentity"]?.text }
        try await serve {
            try await election.run { _ in
                hasBegun.withLock { $0 = true }
                await eventually { mayEnd.withLock { $0 } }
                wasCancelled.withLock { $0 = Task.isCancelled }
            }
        } meanwhile: { shutDown in
            await eventually { hasBegun.withLock { $0 } && time.naps.contains(.seconds(2)) }
            await shutDown()
            // It still renews.
            let requests = shelf.requests.count
            time.advance(by: .seconds(2))
            await eventually { shelf.requests.count > requests }
            #expect(election.isLeader && holder == "me")
            mayEnd.withLock { $0 = true }
        }
        #expect(!wasCancelled.withLock { $0 })
        #expect(holder == nil && !election.isLeader)
    }

    @Test func whoOnlyWaitsToLeadStopsAtOnce() async throws {
        let (shelf, time) = (Shelf(), ManualTime())
        let record = Lease.Record(holder: "other", duration: 15, acquired: nil, renewed: nil, transitions: 1)
        shelf.put("leases", thingName("tidegate"), ["spec": record.fieldValue])
        let election = LeaderElection(shelf.server, thingName("tidegate"), time: time.source(), logger: Notes().logger)
        try await serve {
            try await election.run { _ in Issue.record("it leads") }
        } meanwhile: { shutDown in
            await eventually { time.naps.contains(.seconds(2)) }
            await shutDown()
        }
    }

    @Test func whatFollowsStops() async throws {
        let (shelf, time) = (Shelf(), ManualTime())
        shelf.put("a", word: "1")
        let informer = Informer(
            shelf.server, Thing.resource, time: time.source(), logger: Notes().logger, decode: Thing.decode)
        let set = WatchSet(shelf.server, Thing.resource, time: time.source(), logger: Notes().logger, decode: Thing.decode)
        set.want([thingName("a")])
        let recorder = EventRecorder(shelf.server, instance: "me", time: time.source(), logger: Notes().logger)
        try await serve {
            await withDiscardingTaskGroup { group in
                group.addTask { await informer.run() }
                group.addTask { await set.run() }
                group.addTask { await recorder.run() }
            }
        } meanwhile: { shutDown in
            await eventually { informer.hasSynced && shelf.openWatches == 2 }
            await shutDown()
        }
        #expect(shelf.openWatches == 0)
        #expect(informer.get(thingName("a")) == Thing("1"))
    }
}
