import NetworkTypes
import NodeDocument
import Sodium
import Testing

@testable import UplinkAgent
@testable import UplinkWorkload

@Suite struct PackedDocumentTests {
    private func document(_ count: Int) throws -> UplinkDocument {
        let key = try WireGuardPrivateKey.generate().publicKey()
        let content = UplinkContent(
            relay: UplinkRelay(
                publicKey: key, host: try HostAddress(parsing: "203.0.113.10"), port: try Port(51821),
                address: try IPv4Address(parsing: "10.200.0.1")),
            network: try CIDR(parsing: "10.200.0.0/24"), mtu: 1420, persistentKeepalive: 25,
            replicas: [UplinkReplica(ordinal: 0, address: try IPv4Address(parsing: "10.200.0.2"), publicKey: key)],
            forwards: try (0..<count).map { number in
                Forward(
                    binding: "production-web.many-\(number / 100).binding-\(number % 100)",
                    protocol: number % 5 == 0 ? .udp : .tcp,
                    tunnelPort: try Port(10_000 + number),
                    target: try IPv4Address(parsing: "10.96.\(number / 250 % 250).\(number % 250)"),
                    targetPort: try Port(30_000 + number % 10_000))
            })
        return UplinkDocument(
            owner: Owner(installation: "i", namespace: "default", name: "edge"), hash: try content.digest(), content: content)
    }

    private static let limit = 1 << 20

    @Test func whatFitsIsWrittenAsItIs() throws {
        let document = try document(5000)
        #expect(try UplinkObjects.json(of: document) == DocumentJSON.encode(document))
    }

    /// Bytes of a ConfigMap: what 1 MiB holds.
    @Test(arguments: [10_000, 15_000]) func whatDoesNotFitIsWrittenInLines(count: Int) throws {
        let document = try document(count)
        let bytes = try UplinkObjects.json(of: document)
        #expect(try DocumentJSON.encode(document).count > Self.limit)
        #expect(bytes.count <= Self.limit, "\(bytes.count)")
        let read = try DocumentFile.parse(bytes, path: "d.json")
        #expect(read == document)
        // The hash is the content's, however it is written.
        #expect(try read.content.digest() == document.hash)
    }

    @Test func endpointsAreWrittenBesideTheLines() throws {
        var document = try document(10_000)
        let endpoints = try (1...3).map { Endpoint(address: try IPv4Address(parsing: "10.244.0.\($0)"), port: try Port(8080)) }
        document.content.forwards[7].target = endpoints[0].address
        document.content.forwards[7].targetPort = endpoints[0].port
        document.content.forwards[7].endpoints = endpoints
        let bytes = try UplinkObjects.json(of: document)
        #expect(bytes.count <= Self.limit)
        #expect(try DocumentFile.parse(bytes, path: "d.json") == document)
        // An uplink of a former release reads the line alone.
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.contains("\"\(document.content.forwards[7].binding) TCP 10007 10.244.0.1 8080\""))
    }

    @Test(arguments: [0, 65]) func asManyEndpointsAsThereAreSlots(count: Int) throws {
        var document = try document(1)
        let endpoint = Endpoint(address: try IPv4Address(parsing: "10.244.0.1"), port: try Port(8080))
        document.content.forwards[0].endpoints = Array(repeating: endpoint, count: count)
        let bytes = try DocumentJSON.encode(document)
        let error = #expect(throws: UplinkError.self) { try DocumentFile.parse(bytes, path: "d.json") }
        #expect(error?.description.contains("content.forwards[0].endpoints: want 1 to 64, not \(count)") == true)
    }

    @Test(arguments: [
        "web TCP 80 10.96.0.1", "web TCP 80 10.96.0.1 80 80", "web SCTP 80 10.96.0.1 80", "web TCP 0 10.96.0.1 80",
        "web TCP 65536 10.96.0.1 80", "web TCP +80 10.96.0.1_ 80", "web TCP 80 10.96.0.256 80", "web TCP 80 10.96.0.1 ", "",
    ])
    func aLineThatIsNoneIsNamed(line: String) throws {
        #expect(throws: InvalidValue.self) { try Forward(line: line) }
        let bytes = try UplinkObjects.json(of: document(10_000))
        let text = String(decoding: bytes, as: UTF8.self)
        let good = "production-web.many-0.binding-1 TCP 10001 10.96.0.1 30001"
        let parts = text.split(separator: good, maxSplits: 1)
        try #require(parts.count == 2)
        let broken = "\(parts[0])\(line)\(parts[1])"
        let error = #expect(throws: UplinkError.self) { try DocumentFile.parse(Array(broken.utf8), path: "d.json") }
        #expect(error?.description.contains("lines[1]: ") == true, "\(error?.description ?? "")")
    }
}
