import Foundation
import JSON
import NetworkTypes
import NodeDocument
import Testing

@testable import EnvoyConfig
@testable import NodeAgent

/// What our goldens are in the wire format is seen before the real Envoy (`EnvoyConfigKernelTests`).
@Suite struct EnvoyEncoderTests {
    private func encode(_ json: FieldValue, as type: EnvoyMessage = .cluster) throws -> [UInt8] {
        try EnvoyEncoder.encode(json, as: type)
    }

    /// As `protoc` writes it.
    @Test func eachKindOfFieldIsWritten() throws {
        #expect(try encode(["name": "a\"\\\n\u{1}é"]) == [0x0A, 7] + Array("a\"\\\n\u{1}é".utf8))
        #expect(try encode(.fields(["name": "a", "lb_policy": nil])) == [0x0A, 1, 0x61])
        #expect(try encode(["type": "EDS"]) == [0x10, 3])
        #expect(try encode(["connect_timeout": "1.25s"]) == [0x22, 7, 0x08, 1, 0x10, 0x80, 0xE5, 0x9A, 0x77])
        #expect(try encode(["connect_timeout": "0s"]) == [0x22, 0])
        #expect(try encode(["per_connection_buffer_limit_bytes": 300]) == [0x2A, 3, 0x08, 0xAC, 0x02])
        let half: [UInt8] = [0, 0, 0, 0, 0, 0, 0xE0, 0x3F]
        #expect(
            try encode(["common_lb_config": ["healthy_panic_threshold": ["value": .number(0.5)]]])
                == [0xDA, 0x01, 11, 0x0A, 9, 0x09] + half)
        #expect(
            try encode(["upstream_bind_config": ["socket_options": [["int_value": 0, "level": -1], [:]]]])
                == [0xAA, 0x01, 17, 0x1A, 13, 0x20, 0, 0x10] + [UInt8](repeating: 0xFF, count: 9) + [0x01, 0x1A, 0])
        let url = EnvoyEncoder.typePrefix + "extensions.filters.http.router.v3.Router"
        let filter = [0x22, UInt8(url.utf8.count + 4), 0x0A, UInt8(url.utf8.count)] + Array(url.utf8) + [0x12, 0]
        #expect(
            try encode(["http_filters": [["typed_config": ["@type": .string(url)]]]], as: connectionManager)
                == [0x2A, UInt8(filter.count)] + filter)
    }

    @Test(
        arguments: [
            ["nam": "a"], ["name": 1], "", [], ["type": "LOGICAL"], ["connect_timeout": "1"], ["connect_timeout": "-1s"],
            ["connect_timeout": "1.s"], ["connect_timeout": "99999999999999999999s"], ["connect_timeout": "s"],
            ["connect_timeout": ""],
            ["per_connection_buffer_limit_bytes": "1"], ["circuit_breakers": ["thresholds": [:]]], ["type": ["EDS"]],
            ["transport_socket": ["typed_config": ["@type": "type.googleapis.com/google.protobuf.Struct"]]],
            ["transport_socket": ["typed_config": ["name": "x"]]], ["transport_socket": ["typed_config": "x"]],
        ] as [FieldValue])
    func whatWeDoNotKnowIsAnError(_ json: FieldValue) {
        #expect(throws: MalformedMessage.self) { try encode(json) }
    }

    /// What `JSONSerialization` read.
    private func json(_ value: Any) throws -> FieldValue {
        switch value {
        case let object as [String: Any]:
            return .object(FieldMembers(try object.map { (key: $0.key, value: try json($0.value)) }))
        case let array as [Any]: return .array(try array.map(json))
        case let text as String: return .string(text)
        case let number as NSNumber:
            return String(cString: number.objCType) == "c" ? .bool(number.boolValue) : .integer(number.intValue)
        default: throw MalformedMessage(reason: "\(value)")
        }
    }

    @Test func everyGoldenCanBeTold() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../EnvoyConfigTests/Goldens")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path()).filter { $0.hasSuffix(".jsonc") }
        #expect(files.count >= 6)
        for file in files {
            let lines = try String(contentsOf: folder.appending(path: file), encoding: .utf8).split(separator: "\n")
            let text = lines.filter { !$0.drop { $0 == " " }.hasPrefix("//") }.joined()
            let golden = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
            let listeners = (golden["listeners"] as? [Any] ?? []) + [golden["bridge"]].compactMap { $0 }
            let typed = listeners.map { (EnvoyMessage.listener, $0) }
            for (type, resource) in typed + (golden["clusters"] as? [Any] ?? []).map({ (EnvoyMessage.cluster, $0) }) {
                let bytes = try encode(try json(resource), as: type)
                #expect(bytes.count > 20, "\(file)")
            }
        }
    }
}

@Suite struct ResourceStreamTests {
    private func set(_ resources: [String: UInt8], type: String = ResourceSet.clusterType) throws -> ResourceSet {
        let messages = resources.sorted { $0.key < $1.key }.map { name, value in
            [0x0A, UInt8(name.utf8.count)] + Array(name.utf8) + [0x10, value]
        }
        return try ResourceSet(ResourceSet.file(typeURL: type, messages).bytes)
    }

    private func told(_ response: [UInt8]?) throws -> (names: [String], gone: [String], nonce: String, version: String) {
        var told: (names: [String], gone: [String], nonce: String, version: String) = ([], [], "", "")
        var reader = ProtobufReader(try #require(response)[...])
        while let (field, value) = try reader.next() {
            guard case .bytes(let contents) = value else { continue }
            let text = String(decoding: contents, as: UTF8.self)
            switch field {
            case 1: told.version = text
            case 2:
                var inner = ProtobufReader(contents)
                while let (field, value) = try inner.next() {
                    if field == 3, case .bytes(let name) = value { told.names.append(String(decoding: name, as: UTF8.self)) }
                }
            case 5: told.nonce = text
            case 6: told.gone.append(text)
            default: break
            }
        }
        return told
    }

    private func first(_ held: [String: String] = [:]) -> ResourceStream {
        var stream = ResourceStream()
        #expect(stream.take(DeltaRequest(typeURL: ResourceSet.clusterType, held: held)) == [])
        return stream
    }

    private func answer(_ stream: inout ResourceStream, _ nonce: String, refusal: String? = nil) -> [String] {
        stream.take(DeltaRequest(typeURL: ResourceSet.clusterType, nonce: nonce, refusal: refusal))
    }

    @Test func onlyWhatChangedIsToldAndOneAtATime() throws {
        var stream = first()
        let one = try set(["dns": 1, "web": 1])
        let all = try told(stream.response(one))
        #expect(all.names == ["dns", "web"] && all.gone == [] && all.version == one.version)
        let two = try set(["api": 1, "web": 2])
        #expect(stream.response(two) == nil, "the answer is still to come")
        #expect(answer(&stream, all.nonce) == [], "nothing was there before")
        #expect(stream.answer == ResourceStream.Answer(version: one.version, refusal: nil))
        let next = try told(stream.response(two))
        #expect(next.names == ["api", "web"] && next.gone == ["dns"])
        #expect(answer(&stream, next.nonce) == ["web"])
        #expect(stream.response(two) == nil)
    }

    @Test func whatTheEnvoyHasAlreadyIsNotToldAgain() throws {
        let wanted = try set(["dns": 1, "web": 1])
        let known = try #require(wanted.resources.first { $0.name == "web" })
        var stream = first(["web": known.version, "dns": "other", "old": "x"])
        let response = try told(stream.response(wanted))
        #expect(response.names == ["dns"] && response.gone == ["old"])
        #expect(answer(&stream, response.nonce) == ["dns"])
        var whole = first(Dictionary(uniqueKeysWithValues: wanted.resources.map { ($0.name, $0.version) }))
        let nothing = try told(whole.response(wanted))
        #expect(nothing.names == [] && nothing.gone == [] && nothing.version == wanted.version, "Envoy shows the version")
    }

    @Test func aRefusalIsToldAndNotRepeated() throws {
        var stream = first()
        let bad = try set(["web": 9])
        let response = try told(stream.response(bad))
        _ = answer(&stream, response.nonce, refusal: "no")
        #expect(stream.answer == ResourceStream.Answer(version: bad.version, refusal: "no"))
        #expect(stream.response(bad) == nil)
        #expect(try told(stream.response(set(["web": 1]))).names == ["web"])
    }

    @Test func otherWordsAreNoAnswer() throws {
        var stream = first()
        #expect(stream.response(try set([:], type: ResourceSet.listenerType)) == nil, "another's type")
        _ = stream.response(try set(["web": 1]))
        _ = answer(&stream, "")
        _ = answer(&stream, "7")
        #expect(stream.answer == nil)
    }

    @Test func requestIsRead() throws {
        var writer = ProtobufWriter()
        writer.field(1, [UInt8](repeating: 0xFF, count: 300))
        writer.field(2, ResourceSet.listenerType.utf8)
        writer.field(5) { entry in
            entry.field(1, "tcp-80".utf8)
            entry.field(2, "v1".utf8)
        }
        writer.field(6, "3".utf8)
        writer.field(7) { $0.field(2, "bad \u{1B}port".utf8) }
        let read = try DeltaRequest(writer.bytes[...])
        #expect(read.typeURL == ResourceSet.listenerType && read.held == ["tcp-80": "v1"] && read.nonce == "3")
        #expect(read.refusal?.contains("\u{1B}") == false)
        #expect(throws: MalformedMessage.self) { try DeltaRequest([0x2A, 2, 0x0A, 9][...]) }
    }

    @Test func brokenFilesAreErrors() throws {
        for bytes: [UInt8] in [[], [0x12, 0x05, 0x61], Array("{}".utf8), ResourceSet.file(typeURL: "x", []).bytes] {
            #expect(throws: MalformedMessage.self) { try ResourceSet(bytes) }
        }
        #expect(throws: MalformedMessage.self) {
            try ResourceSet(ResourceSet.file(typeURL: ResourceSet.clusterType, [[0x10, 1]]).bytes)
        }
    }
}
