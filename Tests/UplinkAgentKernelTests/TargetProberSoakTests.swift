import Foundation
import Logging
import NIOCore
import NIOPosix
import NetworkTypes
import NodeDocument
import Testing

@testable import UplinkAgent

/// In this folder for quiet: the process is measured, and the unit tests share one.
@Suite struct TargetProberSoakTests {
    /// Memory stays flat however many probes there were. A task each that nobody awaits would be some 600 bytes, 24 MB here.
    @Test func probesLeaveNothingBehind() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let server = try await ServerBootstrap(group: group).serverChannelOption(.backlog, value: 512)
            .childChannelInitializer { $0.close() }.bind(host: "127.0.0.1", port: 0).get()
        let open = try Port(try #require(server.localAddress?.port))
        let target = ProbeTarget(.tcp, Endpoint(address: try IPv4Address(parsing: "127.0.0.1"), port: open))
        let prober = TargetProber(
            store: UplinkStore(ordinal: 0), group: group, dialer: HostDialer(resolver: HostResolver(threads: .singleton)),
            logger: Logger(label: "test"))
        func run(_ count: Int) async throws {
            for _ in 0..<count / 20 {
                let answers = (0..<20).map { _ in prober.probe(target) }
                for answer in answers { #expect(try await answer.get() == .answers) }
            }
        }
        try await run(1000)
        let before = try residentBytes()
        try await run(Self.soak)
        let grown = try residentBytes() - before
        #expect(grown < 8 << 20, "\(grown) bytes more after \(Self.soak) probes")
        try await server.close()
    }

    private static let soak = 40_000

    private func residentBytes() throws -> Int {
        let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
        return try #require(text.split(separator: " ").dropFirst().first.flatMap { Int($0) }) * 4096
    }
}
