import TestLinks
import Testing

/// What a stranger may do with frames at the edge's WebSocket, once he knows the path.
@Suite(.timeLimit(.minutes(3))) struct WebSocketDoorTests {
    /// The edge's answer to `frames` after the handshake, up to its end; the client does not end by itself.
    private func answer(to frames: [UInt8]) async throws -> (bytes: [UInt8], failure: Int32) {
        let rig = try await LinkRig()
        let port = rig.webSocketPort
        return try await blocking {
            let client = try Socket.connected(to: "127.0.0.1", port: port)
            // The handshake of RFC 6455, section 1.3, with its answer.
            let request = [
                "GET \(LinkRig.path) HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "", "",
            ]
            try client.send(Array(request.joined(separator: "\r\n").utf8))
            var head: [UInt8] = []
            while !head.suffix(4).elementsEqual("\r\n\r\n".utf8), case .bytes(let byte) = client.receive(atMost: 1) {
                head += byte
            }
            let text = String(decoding: head, as: UTF8.self)
            #expect(text.hasPrefix("HTTP/1.1 101 "))
            #expect(text.lowercased().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="))
            try? client.send(frames)
            return client.receiveAll()
        }
    }

    /// A close frame that says "protocol error" (1002) or "too large" (1009), and the end.
    @Test(
        arguments: [
            ("a text", [0x81, 0x81, 0, 0, 0, 0, 0x41], [1002]),
            ("no mask", [0x82, 0x01, 0x41], [1002]),
            ("a continuation of nothing", [0x80, 0x81, 0, 0, 0, 0, 0x41], [1002]),
            ("a message within another", [0x02, 0x81, 0, 0, 0, 0, 0x16, 0x82, 0x81, 0, 0, 0, 0, 0x41], [1002]),
            ("an extension", [0xC2, 0x81, 0, 0, 0, 0, 0x41], [1002]),
            ("an unknown kind", [0x83, 0x81, 0, 0, 0, 0, 0x41], [1002]),
            ("a ping in parts", [0x09, 0x81, 0, 0, 0, 0, 0x41], [1002]),
            ("a long ping", [0x89, 0xFE, 0, 200, 0, 0, 0, 0], [1002]),
            ("129 KiB", [0x82, 0xFF, 0, 0, 0, 0, 0, 2, 4, 0, 0, 0, 0, 0], [1009]),
            ("an exbibyte", [0x82, 0xFF, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [1009]),
            ("a negative length", [0x82, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [1002, 1009]),
        ] as [(String, [UInt8], [Int])])
    func `Frames that break the protocol end the connection with a word`(what: String, frames: [UInt8], codes: [Int]) async throws
    {
        let answer = try await answer(to: frames)
        #expect(answer.bytes.count == 4, "\(what)")
        #expect(answer.bytes.starts(with: [0x88, 2]), "\(what)")
        let code = answer.bytes.suffix(2).reduce(0) { $0 << 8 | Int($1) }
        #expect(codes.contains(code), "\(what)")
    }

    @Test func `A ping is answered with its words, a close with a close`() async throws {
        let answer = try await answer(to: [0x89, 0x82, 1, 1, 1, 1, 0x40, 0x43, 0x88, 0x82, 0, 0, 0, 0, 3, 0xE8])
        #expect(answer.bytes == [0x8A, 2, 0x41, 0x42, 0x88, 2, 3, 0xE8])
        #expect(answer.failure == 0)
    }

    @Test func `Frames whose content is no TLS get an alert at most`() async throws {
        let answer = try await answer(to: [0x82, 0x88, 0, 0, 0, 0] + Array("GET / HT".utf8))
        // Frames of an alert of seven bytes (RFC 8446, section 6) and of a close.
        #expect(answer.bytes.count <= 2 + 7 + 4)
    }
}
