import NetworkTypes
import NodeDocument
import Testing

@testable import EnvoyConfig

@Suite struct EnvoyCapacityTests {
    private func configuration(tcp: Int, udp: Int = 0) throws -> EnvoyConfiguration {
        let bindings = try (0..<tcp + udp).map { index in
            index < tcp ? try Example.tcp("b\(index)", 1000 + index) : try Example.udp("b\(index)", 1000 + index)
        }
        return try Example.configuration(bindings, uplinks: [])
    }

    /// Files, workers, TCP and UDP bindings; then the listeners served beside the bridge, and the connections.
    @Test(arguments: [
        (1 << 20, 2, 50, 0, 50, 32768), (1 << 20, 2, 5000, 0, 5000, 32768), (1 << 20, 16, 5000, 0, 5000, 32768),
        (4096, 1, 50, 0, 50, 1344), (4096, 2, 500, 0, 500, 768), (4096, 2, 5000, 0, 1457, 384), (4096, 4, 5000, 0, 728, 384),
        (4096, 2, 0, 5000, 1457, 384), (20000, 2, 5000, 0, 5000, 1875), (1024, 2, 500, 0, 305, 96), (256, 2, 10, 0, 10, 24),
        (320, 2, 10, 0, 10, 30),
    ])
    func whatFitsIsServed(_ files: Int, _ workers: Int, _ tcp: Int, _ udp: Int, _ served: Int, _ connections: Int) throws {
        let host = EnvoyHost(hasIPv6: true, memoryBytes: 1 << 30, openFiles: files, workers: workers)
        let all = try configuration(tcp: tcp, udp: udp)
        let result = all.fitting(host)
        #expect(result.configuration.listeners.count + result.left.count == all.listeners.count)
        #expect(result.configuration.listeners.filter { $0.name != "bridge" }.count == served)
        #expect(result.host.connections(atMost: all.envoy.maxConnections) == connections)
        #expect(result.configuration.bindings.count == served, "what nobody uses opens no file")
        let standing = result.configuration.standingFiles(on: result.host)
        let sessions = result.host.udpSessions(atMost: all.envoy.maxConnections)
        // With what UDP bindings that come may add to what is held.
        if served > 0 { #expect(standing + 2 * connections + sessions * 7 / 4 <= files) }
    }

    /// Four UDP bindings that are attacked, and every other number: together they stay within files and local ports.
    @Test(arguments: [(1 << 20, 55_296), (20_000, 55_296), (1 << 20, 28_232), (4096, 55_296)])
    func attackedBindingsLeaveRoom(_ files: Int, _ ports: Int) throws {
        for count in [1, 2, 3, 4, 5, 100, 1000] {
            let host = EnvoyHost(hasIPv6: true, memoryBytes: 1 << 30, openFiles: files, workers: 2, localPorts: ports)
            let fitting = try configuration(tcp: 1, udp: count).fitting(host)
            let one = fitting.host.sessionsOfOneBinding(of: count, atMost: 32768)
            let all = one * count
            #expect(all <= ports / 2 || one == 1, "two Envoys of a hot restart share the ports")
            let connections = fitting.host.connections(atMost: 32768)
            #expect(fitting.configuration.standingFiles(on: fitting.host) + 2 * connections + all <= files)
            // Of TCP ports, the one that is attacked leaves the others what it does not have.
            #expect(fitting.host.connectionsOfOneListener(of: 2, atMost: 200) == 100)
            #expect(fitting.host.connectionsOfOneListener(of: 5000, atMost: 32768) <= connections / 3)
        }
    }

    @Test func whoIsServedStays() throws {
        let host = EnvoyHost(hasIPv6: true, memoryBytes: 1 << 30, openFiles: 4096, workers: 2)
        let served = Set((4000..<4500).map { "tcp-\($0)" })
        let result = try configuration(tcp: 5000).fitting(host, served: served)
        let kept = Set(result.configuration.listeners.map(\.name))
        #expect(served.isSubset(of: kept) && kept.contains("bridge"))
        #expect(result.left.first == "tcp-1957")
    }

    /// Each change tells Envoy of new limits for all.
    @Test func oneMoreBindingSeldomChangesTheConnections() throws {
        let host = EnvoyHost(hasIPv6: true, memoryBytes: 1 << 30, openFiles: 8192, workers: 2)
        let seen = try (0..<40).map { try configuration(tcp: $0 * 50).fitting(host).host.connections(atMost: 32768) }
        #expect(Set(seen).count <= 3)
    }

    @Test(arguments: [(1 << 20, 500), (4096, 500), (1024, 240), (64, 1), (0, 1)]) func aProofFitsToo(
        _ files: Int, _ listeners: Int
    ) {
        #expect(EnvoyHost(hasIPv6: true, memoryBytes: 1, childFiles: files).listenersPerProof == listeners)
    }
}
