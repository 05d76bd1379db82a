import Logging
import NIOCore
import NIOPosix
import NetworkTypes
import NodeDocument
import Synchronization
import Testing

@testable import UplinkAgent

@Suite struct TargetProberTests {
    /// What a port that listens, and one that does not, look like; a target that comes up is noticed within seconds.
    @Test func targetsAreToldApart() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let store = UplinkStore(ordinal: 0)
        let server = try await ServerBootstrap(group: group).bind(host: "127.0.0.1", port: 0).get()
        let taken = try await ServerBootstrap(group: group).bind(host: "127.0.0.1", port: 0).get()
        let (open, closed) = (try #require(server.localAddress?.port), try #require(taken.localAddress?.port))
        try await taken.close()
        let forwards = [
            try sampleForward("open", .tcp, open, to: "127.0.0.1"), try sampleForward("closed", .tcp, closed, to: "127.0.0.1"),
            try sampleForward("dns", .udp, 53, to: "127.0.0.1"),
        ]
        store.update { $0.forwards = forwards }
        let prober = TargetProber(
            store: store, group: group, dialer: HostDialer(resolver: HostResolver(threads: .singleton)),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await prober.run() }
            store.wakeProber()
            func states() -> [Reachability?] { forwards.map { store.now.reachability[ProbeTarget($0)] } }
            try await within(.seconds(60)) { states() == [.answers, .fails("connection refused"), .unknown] }
            let back = try await ServerBootstrap(group: group)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1).bind(host: "127.0.0.1", port: closed).get()
            try await within(.seconds(60)) { states()[1] == .answers }
            try await back.close()
            tasks.cancelAll()
        }
        try await server.close()
    }

    private func within(_ limit: Duration, _ holds: () -> Bool) async throws {
        let deadline = ContinuousClock.now + limit
        while !holds() {
            try #require(ContinuousClock.now < deadline)
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}
