import NetworkTypes
import Testing

@testable import NodeDocument

@Suite struct EnvoyCapacityTests {
    private func document(tcp: Int, udp: Int = 0) throws -> EnvoyDocument {
        var listeners = [
            EnvoyListener(name: "bridge", protocol: .tcp, port: try Port(40600), bindings: [], json: "{\"name\":\"bridge\"}")
        ]
        var clusters: [EnvoyResource] = []
        for index in 0..<tcp + udp {
            let port = try Port(1000 + index)
            let isTCP = index < tcp
            listeners.append(
                EnvoyListener(
                    name: .init(EnvoyListener.conventionalName(isTCP ? .tcp : .udp, port)), protocol: isTCP ? .tcp : .udp,
                    port: port,
                    bindings: ["b\(index)"], json: "{\"name\":\"b\"}"))
            clusters.append(EnvoyResource(name: "b\(index)", json: "{\"name\":\"b\(index)\"}"))
        }
        return EnvoyDocument(
            release: EnvoyRelease(version: "1.40.0", sha256: nil, url: nil), bootstrap: "{\"a\":1}", listeners: listeners,
            clusters: clusters, probes: nil, secrets: [], tlsFiles: [], maxConnections: 32768, drainSeconds: 60)
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
        let all = try document(tcp: tcp, udp: udp)
        let result = all.fitting(host)
        #expect(result.document.listeners.count + result.left.count == all.listeners.count)
        #expect(result.document.listeners.filter { $0.name != "bridge" }.count == served)
        #expect(result.host.connections(atMost: all.maxConnections) == connections)
        #expect(result.document.clusters.count == served, "what nobody uses opens no file")
        let standing = result.document.standingFiles(on: result.host)
        let sessions = result.host.udpSessions(atMost: all.maxConnections)
        // With what UDP bindings that come may add to what is held.
        if served > 0 { #expect(standing + 2 * connections + sessions * 7 / 4 <= files) }
    }

    /// Four UDP bindings that are attacked, and every other number: together they stay within files and local ports.
    @Test(arguments: [(1 << 20, 55_296), (20_000, 55_296), (1 << 20, 28_232), (4096, 55_296)])
    func attackedBindingsLeaveRoom(_ files: Int, _ ports: Int) throws {
        for count in [1, 2, 3, 4, 5, 100, 1000] {
            let host = EnvoyHost(hasIPv6: true, memoryBytes: 1 << 30, openFiles: files, workers: 2, localPorts: ports)
            let fitting = try document(tcp: 1, udp: count).fitting(host)
            let one = fitting.host.sessionsOfOneBinding(of: count, atMost: 32768)
            let all = one * count
            #expect(all <= ports / 2 || one == 1, "two Envoys of a hot restart share the ports")
            let connections = fitting.host.connections(atMost: 32768)
            #expect(fitting.document.standingFiles(on: fitting.host) + 2 * connections + all <= files)
            // Of TCP ports, the one that is attacked leaves the others what it does not have.
            #expect(fitting.host.connectionsOfOneListener(of: 2, atMost: 200) == 100)
            #expect(fitting.host.connectionsOfOneListener(of: 5000, atMost: 32768) <= connections / 3)
        }
    }

    @Test func whoIsServedStays() throws {
        let host = EnvoyHost(hasIPv6: true, memoryBytes: 1 << 30, openFiles: 4096, workers: 2)
        let served = Set((4000..<4500).map { "tcp-\($0)" })
        let result = try document(tcp: 5000).fitting(host, served: served)
        let kept = Set(result.document.listeners.map(\.name))
        #expect(served.isSubset(of: kept) && kept.contains("bridge"))
        #expect(result.left.first == "tcp-1957")
    }

    /// Each change tells Envoy of new limits for all.
    @Test func oneMoreBindingSeldomChangesTheConnections() throws {
        let host = EnvoyHost(hasIPv6: true, memoryBytes: 1 << 30, openFiles: 8192, workers: 2)
        let seen = try (0..<40).map { try document(tcp: $0 * 50).fitting(host).host.connections(atMost: 32768) }
        #expect(Set(seen).count <= 3)
    }

    @Test(arguments: [(1 << 20, 500), (4096, 500), (1024, 240), (64, 1), (0, 1)]) func aProofFitsToo(
        _ files: Int, _ listeners: Int
    ) {
        #expect(EnvoyHost(hasIPv6: true, memoryBytes: 1, childFiles: files).listenersPerProof == listeners)
    }
}
