import Glibc
import NetworkTypes
import NodeDocument
import Sodium
import TestFiles
import Testing

@testable import UplinkAgent

@Suite struct DocumentFileTests {
    private let key: WireGuardPublicKey

    init() throws { key = try WireGuardPrivateKey.generate().publicKey() }

    private func refusal(_ change: @Sendable (inout UplinkDocument) throws -> Void) throws -> String {
        var document = try sampleDocument(sampleContent(key, forwards: [sampleForward("web", .tcp, 80)]))
        try change(&document)
        let bytes = try DocumentJSON.encode(document)
        return "\(try #require(throws: UplinkError.self) { try DocumentFile.parse(bytes, path: "d.json") })"
    }

    @Test func aGoodDocumentIsRead() throws {
        let document = try sampleDocument(
            sampleContent(key, forwards: [sampleForward("web", .tcp, 80), sampleForward("dns", .udp, 80)]))
        #expect(try DocumentFile.parse(DocumentJSON.encode(document), path: "d.json") == document)
    }

    @Test func everyFlawNamesItsField() throws {
        #expect(try refusal { $0.format = 3 }.contains("format: want 1, not 3"))
        #expect(try refusal { $0.content.mtu = 100 }.contains("content.mtu: "))
        #expect(try refusal { $0.content.persistentKeepalive = -1 }.contains("content.persistentKeepalive: "))
        #expect(
            try refusal { $0.content.relay.address = try IPv4Address(parsing: "10.9.0.1") }.contains("content.relay.address: "))
        #expect(
            try refusal { $0.content.replicas[0].address = $0.content.relay.address }.contains("content.replicas[0].address: "))
        #expect(try refusal { $0.content.replicas.append($0.content.replicas[0]) }.contains("content.replicas[1].ordinal: "))
        #expect(
            try refusal { $0.content.forwards.append(try sampleForward("other", .tcp, 80)) }
                == "the document d.json is invalid: content.forwards[1].tunnelPort: TCP/80 is web's too")
        #expect(try refusal { $0.content.forwards = [try sampleForward("web", .tcp, 40500)] }.contains("the readiness port"))
    }

    @Test(arguments: [
        ("", "not valid JSON"), ("[]", "the document is not a"), ("{\"format\":1}", "owner is missing"),
        ("{\"format\":\"1\"}", "format is not a Int"),
    ])
    func whatIsNoDocumentIsRefused(text: String, reason: String) throws {
        let error = try #require(throws: UplinkError.self) { try DocumentFile.parse(Array(text.utf8), path: "d.json") }
        #expect("\(error)".contains(reason), "\(error)")
    }

    @Test func aValueOfTheWrongKindNamesItsField() throws {
        let document = try sampleDocument(sampleContent(key, forwards: [sampleForward("web", .tcp, 80)]))
        let text = String(decoding: try DocumentJSON.encode(document), as: UTF8.self)
        let broken = text.split(separator: "\"10.96.0.1\"", maxSplits: 1).joined(separator: "\"10.96.0.256\"")
        let error = try #require(throws: UplinkError.self) { try DocumentFile.parse(Array(broken.utf8), path: "d.json") }
        #expect("\(error)".contains("content.forwards[0].target: "), "\(error)")
    }

    @Test func filesThatAreNoneAreRefused() throws {
        #expect(throws: UplinkError.fileUnreadable(path: "/nonexistent/d", reason: "No such file or directory")) {
            try DocumentFile.read(path: "/nonexistent/d")
        }
        // Neither may hold us up, nor fill the memory.
        #expect(throws: UplinkError.fileUnreadable(path: "/dev/zero", reason: "not a regular file")) {
            try DocumentFile.read(path: "/dev/zero")
        }
        #expect(throws: UplinkError.fileUnreadable(path: "/tmp", reason: "not a regular file")) {
            try DocumentFile.readKey(path: "/tmp")
        }
    }

    @Test func aKeyIsReadAndNeverPrinted() throws {
        let folder = try TemporaryFolder()
        let private0 = try WireGuardPrivateKey.generate()
        try folder.write("priv-0", private0.base64File())
        #expect(try DocumentFile.readKey(path: folder("priv-0")) == private0)
        try folder.write("priv-1", Array("c2VjcmV0\n".utf8))
        let error = try #require(throws: UplinkError.self) { try DocumentFile.readKey(path: folder("priv-1")) }
        #expect(!"\(error)".contains("c2VjcmV0"))
        try folder.write("priv-2", [UInt8](repeating: 0x41, count: 5000))
        let long = try #require(throws: UplinkError.self) { try DocumentFile.readKey(path: folder("priv-2")) }
        #expect("\(long)".contains("more than 1024 bytes"))
    }
}
