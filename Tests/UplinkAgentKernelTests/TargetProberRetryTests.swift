import Logging
import NIOCore
import NIOPosix
import NetworkTypes
import NodeDocument
import Testing

@testable import UplinkAgent

/// In this folder for quiet: seconds are counted.
@Suite struct TargetProberRetryTests {
    /// A target that fails again and again, which is no news each time, is still asked each second, whatever else is asked each ten.
    @Test func whoeverFailsIsAskedAgainEachSecond() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let store = UplinkStore(ordinal: 0)
        let server = try await ServerBootstrap(group: group).bind(host: "127.0.0.1", port: 0).get()
        let taken = try await ServerBootstrap(group: group).bind(host: "127.0.0.1", port: 0).get()
        let home = try IPv4Address(parsing: "127.0.0.1")
        let forwards = try [server, taken].enumerated().map { index, channel in
            let port = try Port(try #require(channel.localAddress?.port))
            return Forward(binding: "b\(index)", protocol: .tcp, tunnelPort: port, target: home, targetPort: port)
        }
        try await taken.close()
        let late = try #require(store.now.probeTargets(of: forwards[1]).first)
        store.update { $0.forwards = forwards }
        let prober = TargetProber(
            store: store, group: group, dialer: HostDialer(resolver: HostResolver(threads: .singleton)),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await prober.run() }
            store.wakeProber()
            try await Task.sleep(for: .seconds(4))
            #expect(store.now.reachability[late]?.reachable == false)
            let back = try await ServerBootstrap(group: group)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .bind(host: "127.0.0.1", port: Int(forwards[1].targetPort.number)).get()
            try await Task.sleep(for: .seconds(2))
            #expect(store.now.reachability[late] == .answers)
            try await back.close()
            tasks.cancelAll()
        }
        try await server.close()
    }
}
