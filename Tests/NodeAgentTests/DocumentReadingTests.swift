import NetworkTypes
import NodeDocument
import Testing

@testable import NodeAgent

@Suite struct DocumentReadingTests {
    private func refusal(_ bytes: [UInt8]) -> String? {
        do throws(AgentError) {
            _ = try readDocument(bytes, build: "build1")
            return nil
        } catch {
            #expect(error.kind == .badDocument)
            return error.message
        }
    }

    private func replaced(_ part: String, _ other: String) throws -> [UInt8] {
        let text = String(decoding: try DocumentJSON.encode(try sampleDocument()), as: UTF8.self)
        let pieces = text.split(separator: part, maxSplits: 1, omittingEmptySubsequences: false)
        try #require(pieces.count == 2, "\(part) is in the document")
        return Array((pieces[0] + other + pieces[1]).utf8)
    }

    @Test func reads() throws {
        let document = try sampleDocument()
        #expect(try readDocument(try DocumentJSON.encode(document), build: "build1") == .document(document))
    }

    @Test func otherBuildNeedNotBeUnderstood() throws {
        let text = #"{"agentBuild":"build9","format":77,"everything":"else"}"#
        #expect(try readDocument(Array(text.utf8), build: "build1") == .needsAgent(build: "build9"))
    }

    @Test(arguments: [
        (#""format":1"#, #""format":2"#, "format 2"), ("web 443", "web 0", "content.envoy.bindings"),
        ("web 443", "web 443 1 2", "content.envoy.bindings"),
        ("web 443", "web 65536", "want NAME LISTENPORT"), ("web 443", "web", "want NAME LISTENPORT"),
        (#""epoch":1"#, #""epoch":"x""#, "epoch is not a"), (#""mtu":1420"#, #""mtu":10"#, "mtu is 10"),
        (#""maxConnections":1000"#, #""maxConnections":0"#, "maxConnections is 0"),
        (#""kernelMaxSocketBufferBytes":2"#, #""kernelMaxSocketBufferBytes":-2"#, "negative"),
        (#""version":"1.40.0""#, #""version":"../x""#, "no Envoy version"),
        ("web 443", "../key 443", "no DNS label"), ("dns 53", "$(reboot) 53", "no DNS label"),
        ("dns 53", "web 53", "there twice"),
        (#""maxDatagramBytes":1500"#, #""maxDatagramBytes":0"#, "maxDatagramBytes"),
        (#""intervalMilliseconds":1000"#, #""intervalMilliseconds":1"#, "out of range"),
        (#""bindings":["#, #""bindings":[{},"#, "content.envoy.bindings"), (#""hash":""#, #""hash":"zz"#, "hash"),
        (#""mtu":1420,"#, "", "mtu"),
    ]) func namesTheFieldAtFault(_ part: String, _ other: String, _ words: String) throws {
        let message = try #require(refusal(try replaced(part, other)))
        #expect(message.contains(words), "\(message)")
    }

    @Test func udpPortsAreNotShared() throws {
        let document = try sampleDocument(more: [sampleBinding("other", 53, .udp)])
        #expect(try refusal(DocumentJSON.encode(document))?.contains("dns and other share the UDP port 53") == true)
    }

    @Test func cutAnywhereIsRefused() throws {
        let bytes = try DocumentJSON.encode(try sampleDocument())
        for length in stride(from: 0, to: bytes.count, by: 37) { #expect(refusal(Array(bytes.prefix(length))) != nil) }
    }

    @Test(arguments: ["a", "tcp-443", "web-0a1b.key", "1.40.0"]) func safeNames(_ name: String) { #expect(isSafeFileName(name)) }

    @Test(arguments: ["", ".", "..", ".hidden", "a/b", "A", "a b", "a\n", "a\0", "é", String(repeating: "a", count: 201)])
    func unsafeNames(_ name: String) { #expect(!isSafeFileName(name)) }
}
