import EdgeAPI
import EnvoyConfig
import Foundation
import NodeDocument
import Testing

@Suite struct EnvoyFilesTests {
    private static func document() throws -> EnvoyDocument {
        renderEnvoy(
            Example.input([
                try Example.tcp("web", 80), try Example.udp("dns", 53),
                try Example.tls("api", 443, .mutual(Example.secret)),
            ]))
    }

    private static let host = EnvoyHost(hasIPv6: true, memoryBytes: 1 << 30)

    private static func listeners(hasIPv6: Bool) throws -> String {
        let files = try document().files(on: EnvoyHost(hasIPv6: hasIPv6, memoryBytes: 1 << 30))
        return try #require(files.first { $0.kind == .listeners }).contents
    }

    private static func occurrences(of address: String, in text: String) -> Int {
        text.components(separatedBy: "\"address\":{\"socket_address\":{\(address)}}").count - 1
    }

    @Test func publicListenersTakeBothFamilies() throws {
        let text = try Self.listeners(hasIPv6: true)
        for (port, name) in [(80, "TCP"), (443, "TCP"), (53, "UDP")] {
            let address = #""address":"::","ipv4_compat":true,"port_value":\#(port),"protocol":"\#(name)""#
            #expect(Self.occurrences(of: address, in: text) == 1)
        }
        #expect(Self.occurrences(of: #""address":"10.200.0.1","port_value":40600,"protocol":"TCP""#, in: text) == 1)
    }

    @Test func hostWithoutIPv6ListensOnIPv4() throws {
        let text = try Self.listeners(hasIPv6: false)
        for (port, name) in [(80, "TCP"), (443, "TCP"), (53, "UDP")] {
            let address = #""address":"0.0.0.0","port_value":\#(port),"protocol":"\#(name)""#
            #expect(Self.occurrences(of: address, in: text) == 1)
        }
        #expect(Self.occurrences(of: #""address":"10.200.0.1","port_value":40600,"protocol":"TCP""#, in: text) == 1)
    }

    @Test func listenersLeftOutAreNotWritten() throws {
        let document = try Self.document()
        let all = document.files(on: Self.host)
        let some = document.files(on: Self.host, leavingOut: ["tcp-80"])
        #expect(all.dropLast() == some.dropLast())
        #expect(try #require(some.last).contents.contains("tcp-80") == false)
        #expect(try #require(some.last).contents.contains("tcp-443"))
    }

    @Test func filesComeAfterWhatTheyReferTo() throws {
        let kinds = try Self.document().files(on: Self.host).map(\.kind)
        #expect(
            kinds == [
                .certificate, .certificate, .privateKey, .secret, .secret, .endpoints, .clusters, .listeners,
            ])
    }

    @Test func heapLimitIsHalfTheMemoryInWholeSteps() throws {
        let document = try Self.document()
        for (memory, limit) in [(2_050_000_000, 1_006_632_960), (2_060_000_000, 1_006_632_960), (1, 134_217_728)] {
            let text = document.bootstrapFile(on: EnvoyHost(hasIPv6: true, memoryBytes: memory)).contents
            #expect(text.contains("\"max_heap_size_bytes\":\(limit)}"))
            #expect(text.contains("\"max_active_downstream_connections\":32768}"))
        }
    }

    @Test func connectionsFollowTheFilesThatTheHostAllows() throws {
        let document = try Self.document()
        for (files, all, one) in [(1 << 20, 32768, 24576), (20000, 8750, 6562), (1000, 437, 327), (8, 3, 3), (0, 1, 1)] {
            let host = EnvoyHost(hasIPv6: true, memoryBytes: 1 << 30, openFiles: files)
            #expect(document.bootstrapFile(on: host).contents.contains("\"max_active_downstream_connections\":\(all)}"))
            let clusters = try #require(document.files(on: host).first { $0.kind == .clusters })
            #expect(clusters.contents.contains(#""circuit_breakers":{"thresholds":[{"max_connections":\#(one),"#), "\(files)")
        }
    }

    @Test func watchedFilesAreCounted() throws {
        // LDS and CDS, the endpoints of dns, the certificate and the CA of api with their files.
        #expect(try Self.document().inotifyInstances == 2 + 1 + 2 * 2)
    }

    @Test func nothingPrintsAKey() throws {
        let document = try Self.document()
        let key = try #require(document.files(on: Self.host).first { $0.kind == .privateKey })
        #expect(key.contents == "key\n")
        #expect(!"\(key)\(String(reflecting: key))\(Example.material)\(String(reflecting: Example.material))".contains("key\n"))
    }
}
