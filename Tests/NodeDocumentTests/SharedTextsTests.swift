import EdgeAPI
import EnvoyConfig
import Fixtures
import FoundationEssentials
import NetworkTypes
import NodeDocument
import Testing

@Suite struct SharedTextsTests {
    private func document(_ count: Int) throws -> EnvoyDocument {
        let bindings = try (0..<count).map { index in
            let port = try Port(20_000 + index)
            return try EnvoyBinding(
                name: "b\(index)", listenPort: port, tunnelPort: port,
                transport: index.isMultiple(of: 20) ? .udp(UDPOptions()) : .tcp(TCPOptions()))
        }
        return renderEnvoy(
            EnvoyInput(
                relayAddress: IPv4Address(number: 0x0AC8_0001), uplinks: [], edge: EdgeSpec(),
                release: EnvoyRelease(version: "1.40.0", sha256: nil, url: nil), bindings: bindings))
    }

    private func roundTrip(_ document: EnvoyDocument) throws -> EnvoyDocument {
        try DocumentJSON.decode(EnvoyDocument.self, from: DocumentJSON.encode(document))
    }

    @Test func aBindingMoreIsALineAndNotItsText() throws {
        let hundred = try document(100)
        #expect(try roundTrip(hundred) == hundred)
        let few = try DocumentJSON.encode(hundred).count
        let more = try DocumentJSON.encode(document(200)).count
        #expect(more - few < 100 * 80, "\(more - few) bytes for 100 bindings")
    }

    @Test(arguments: [
        ("a", ["a"], #"{"name":"a","cluster":"a"}"#), ("tcp-1", ["web", "dns"], #"{"name":"tcp-1","chains":["web","dns"]}"#),
        ("tcp-1", [], #"{"name":"tcp-1"}"#), ("tcp-1", ["web"], "{\"name\":\"\u{1}\"}"), ("tcp 1", ["web"], #"{"name":"x"}"#),
        ("tcp-1", [""], #"{"name":""}"#), ("", ["web"], #"{"":"web"}"#),
        ("tcp-1", ["tcp-1\""], #"{"name":"tcp-1"","x":"tcp-1""}"#),
        ("tcp-1", ["web"], #"{"name":"tcp-1"#), ("tcp-1", ["\u{2}"], "{\"name\":\"tcp-1\",\"x\":\"y\"}"),
    ])
    func whateverTheTextItIsReadAsItWas(name: String, bindings: [String], json: String) throws {
        var document = try document(2)
        document.listeners.append(
            EnvoyListener(
                name: name, protocol: .tcp, port: try Port(1), bindings: bindings, json: json, dualStackJSON: json + " "))
        document.clusters.append(EnvoyResource(name: name, json: json))
        #expect(try roundTrip(document) == document)
    }

    /// As a former build wrote it.
    private struct Former: Encodable {
        var release: EnvoyRelease
        var bootstrap: String
        var listeners: [EnvoyListener]
        var clusters: [EnvoyResource]
        var probes: UplinkProbes?
        var secrets: [EnvoyResource] = []
        var tlsFiles: [TLSFile] = []
        var maxConnections: Int
        var drainSeconds: Int
    }

    /// The agent finds such a one on its disk, and needs its secrets.
    @Test func formerFormIsRead() throws {
        let document = try document(2)
        let former = Former(
            release: document.release, bootstrap: document.bootstrap, listeners: document.listeners, clusters: document.clusters,
            probes: document.probes, maxConnections: document.maxConnections, drainSeconds: document.drainSeconds)
        #expect(try DocumentJSON.decode(EnvoyDocument.self, from: DocumentJSON.encode(former)) == document)
    }

    @Test(arguments: [
        "tcp-1 TCP 1 - 9 - web", "tcp-1 TCP 0 - 0 - web", "tcp-1 TCP 1 - -1 - web", "tcp-1", "", "tcp-1 ICMP 1 - 0 -",
    ])
    func brokenLinesAreNamed(_ line: String) throws {
        let text = String(decoding: try DocumentJSON.encode(document(1)), as: UTF8.self)
        let known = try #require(text.firstRange(of: "udp-20000 UDP 20000 - "))
        let rest = text[known.upperBound...].drop { $0 != "\"" }
        do throws(DocumentError) {
            _ = try DocumentJSON.decode(EnvoyDocument.self, from: Array((text[..<known.lowerBound] + line + rest).utf8))
            Issue.record("\(line) is taken")
        } catch {
            #expect(error.message.contains("packed"), "\(error)")
        }
    }
}
