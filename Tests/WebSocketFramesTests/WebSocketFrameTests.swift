import Testing
import WebSocketFrames

@Suite struct WebSocketFrameTests {
    private enum Seen: Equatable {
        case message([UInt8])
        case ping([UInt8])
        case pong, close
    }

    /// Reads in pieces of that size.
    private func read(_ input: [UInt8], by size: Int, _ rules: WebSocketFrameReader.Rules = .tolerant) throws -> [Seen] {
        var reader = WebSocketFrameReader(rules)
        var seen: [Seen] = []
        var message: [UInt8] = []
        for start in stride(from: 0, to: input.count, by: size) {
            let piece = Array(input[start..<min(start + size, input.count)])
            var offset = 0
            while let event = try reader.read(piece.span.bytes, &offset) {
                switch event {
                case .payload(let count, let mask):
                    var part = Array(piece[offset..<offset + count])
                    offset += count
                    if let mask { part.withUnsafeMutableBytes { mask.apply(to: $0) } }
                    message += part
                case .end:
                    seen.append(.message(message))
                    message = []
                case .ping(let word): seen.append(.ping(word))
                case .pong: seen.append(.pong)
                case .close: seen.append(.close)
                }
            }
        }
        return seen
    }

    /// Of a whole frame that is not masked.
    private func header(_ length: Int) -> [UInt8] {
        if length < 126 { return [0x82, UInt8(length)] }
        if length < 1 << 16 { return [0x82, 126, UInt8(length >> 8), UInt8(length & 0xFF)] }
        return [0x82, 127] + stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: UInt64(length) >> UInt64($0)) }
    }

    private func masked(_ first: UInt8, _ payload: [UInt8], _ key: [UInt8] = [1, 2, 3, 250]) -> [UInt8] {
        var bytes = header(payload.count)
        bytes[0] = first
        bytes[1] |= 0x80
        return bytes + key + payload.enumerated().map { $1 ^ key[$0 & 3] }
    }

    @Test(arguments: [0, 1, 125, 126, 65_535, 65_536, 100_000])
    func `Masked and unmasked, wherever they are cut`(count: Int) throws {
        let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let plain = header(count) + payload
        let input =
            plain + masked(0x82, payload) + masked(0x89, [1, 2]) + masked(0x82, payload, [0, 0, 0, 0]) + masked(0x8A, []) + [
                0x88, 0,
            ]
        let sizes = count > 1000 ? [1000, 4096, 1 << 20] : [1, 2, 3, 7, 1000]
        for size in sizes {
            #expect(
                try read(input, by: size) == [
                    .message(payload), .message(payload), .ping([1, 2]), .message(payload), .pong, .close,
                ])
        }
    }

    /// RFC 6455, section 5.7.
    @Test func `The RFC's examples`() throws {
        #expect(
            try read([0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58], by: 3) == [.message(Array("Hello".utf8))]
        )
        #expect(
            try read([0x89, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58], by: 2) == [.ping(Array("Hello".utf8))])
    }

    @Test(
        arguments: [
            ([0xC2, 0], .extensionBits), ([0x92, 0], .extensionBits), ([0x83, 0], .opcode(3)), ([0x8F, 0], .opcode(15)),
            ([0x08, 0], .controlFrame), ([0x89, 126, 0, 126], .controlFrame), ([0x82, 127, 0, 0, 0, 0, 4, 0, 0, 1], .length),
            ([0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], .length),
        ] as [([UInt8], WebSocketFrameReader.Fault)])
    func `What is no frame`(input: [UInt8], fault: WebSocketFrameReader.Fault) {
        #expect(throws: fault) { try read(input, by: 1) }
    }

    @Test(
        arguments: [
            // Of a client: masked bytes, in pieces if it likes, with pings between them, and what is empty either way.
            (true, [0x02, 0x81, 0, 0, 0, 1, 7, 0x89, 0x80, 0, 0, 0, 0, 0x80, 0x81, 0, 0, 0, 1, 8, 0x82, 0], nil),
            (true, [0x82, 0xFF, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0], .length), (true, [0x82, 1, 7], .masking),
            (true, [0x81, 0x81, 0, 0, 0, 1, 7], .text),
            (true, [0x80, 0x80, 0, 0, 0, 0], .continuation),
            (true, [0x02, 0x80, 0, 0, 0, 0, 0x82, 0x80, 0, 0, 0, 0], .continuation),
            // Of a server.
            (false, [0x82, 1, 7, 0x89, 1, 9], nil), (false, [0x82, 0x81, 0, 0, 0, 0, 7], .masking), (false, [0x81, 1, 7], .text),
        ] as [(Bool, [UInt8], WebSocketFrameReader.Fault?)])
    func `Strict rules`(isMasked: Bool, input: [UInt8], fault: WebSocketFrameReader.Fault?) throws {
        if let fault {
            #expect(throws: fault) { try read(input, by: 1, .strict(isMasked: isMasked)) }
        } else {
            _ = try read(input, by: 1, .strict(isMasked: isMasked))
        }
    }

    @Test(arguments: [0, 1, 7, 8, 125, 126, 65_535, 65_536, 100_003])
    func `What is written is read`(count: Int) throws {
        let payload = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 13) }
        #expect(WebSocketFrameHeader(.binary, length: count, mask: nil).bytes == header(count))
        let mask = WebSocketMask.random()
        var hidden = payload
        hidden.withUnsafeMutableBytes { mask.apply(to: $0) }
        // As the RFC has it, byte by byte.
        #expect(hidden == payload.enumerated().map { $1 ^ mask.bytes[$0 & 3] })
        let frame = WebSocketFrameHeader(.binary, length: count, mask: mask).bytes + hidden
        #expect(try read(frame, by: 1009, .strict(isMasked: true)) == [.message(payload)])
        #expect(WebSocketFrameHeader(.close, length: 0, mask: nil).bytes == [0x88, 0])
    }
}
