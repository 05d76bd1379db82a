import LinkProtocol
import Testing

/// The small formats within streams.
@Suite struct StreamContentTests {
    @Test(arguments: [
        (StreamHeader(.tcp, tunnelPort: 443), [3, 1, 1, 0xBB] as [UInt8]),
        (StreamHeader(.udp, tunnelPort: 65_535), [3, 2, 0xFF, 0xFF]),
    ])
    func `A stream's header is read as what it was`(header: StreamHeader, bytes: [UInt8]) throws {
        #expect(header.bytes == bytes)
        for size in 1...6 {
            var reader = StreamHeaderReader()
            var found: StreamHeader?
            var used = 0
            let input = bytes + [9, 9]
            for start in stride(from: 0, to: input.count, by: size) where found == nil {
                let piece = Array(input[start..<min(start + size, input.count)])
                var offset = 0
                found = try reader.read(piece.span.bytes, &offset)
                used = start + offset
            }
            #expect(found == header)
            #expect(used == bytes.count)
        }
    }

    @Test func `What a later version adds to a header is passed over`() throws {
        var reader = StreamHeaderReader()
        let bytes: [UInt8] = [6, 1, 0, 80, 1, 2, 3, 0xAA]
        var offset = 0
        #expect(try reader.read(bytes.span.bytes, &offset) == StreamHeader(.tcp, tunnelPort: 80))
        #expect(offset == 7)
    }

    @Test(arguments: [[0], [2, 1, 1], [65], [255], [3, 0, 0, 1], [3, 3, 0, 1], [3, 1, 0, 0]] as [[UInt8]])
    func `A header that is none ends the link`(bytes: [UInt8]) {
        #expect(throws: LinkProtocolError.self) {
            var reader = StreamHeaderReader()
            var offset = 0
            _ = try reader.read(bytes.span.bytes, &offset)
        }
    }

    @Test(arguments: [1, 2, 3, 1000, 100_000])
    func `Datagrams come out as they went in, wherever they are cut`(size: Int) throws {
        let datagrams: [[UInt8]] = [[], [1], Array(repeating: 2, count: 1472), Array(repeating: 3, count: 65_507), [4, 5]]
        let bytes = datagrams.flatMap { (DatagramReader.lengthBytes(of: $0.count) ?? []) + $0 }
        var reader = DatagramReader()
        var found: [[UInt8]] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            let piece = Array(bytes[start..<min(start + size, bytes.count)])
            var offset = 0
            while let datagram = try reader.read(piece.span.bytes, &offset) { found.append(datagram) }
            #expect(offset == piece.count)
        }
        #expect(found == datagrams)
        #expect(reader.held == 0)
    }

    @Test func `A datagram longer than UDP takes ends the link`() {
        #expect(DatagramReader.lengthBytes(of: 65_508) == nil)
        #expect(throws: LinkProtocolError.datagramTooLong(65_508)) {
            var reader = DatagramReader()
            let bytes: [UInt8] = [0xFF, 0xE4]
            var offset = 0
            _ = try reader.read(bytes.span.bytes, &offset)
        }
    }

    static let messages: [ControlMessage] = [
        .hello(.init(build: "0.3.0", instance: 0x0102_0304_0506_0708)), .ready(true), .ready(false), .status([]),
        .status(Array(repeating: 0xEE, count: ControlMessage.longestStatus)), .want([]),
        .want(Array(repeating: 1, count: 32)), .leaving,
    ]

    @Test(arguments: [1, 2, 3, 64, 100_000])
    func `Control messages come out as they went in, and unknown ones are passed over`(size: Int) throws {
        let bytes = Self.messages.flatMap { message -> [UInt8] in [200, 0, 2, 1, 1] + (message.bytes ?? []) }
        var reader = ControlReader()
        var found: [ControlMessage] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            let piece = Array(bytes[start..<min(start + size, bytes.count)])
            var offset = 0
            while let message = try reader.read(piece.span.bytes, &offset) { found.append(message) }
        }
        #expect(found == Self.messages)
    }

    @Test(arguments: [[3, 16, 1], [9, 255, 255], [1, 0, 7, 1, 2, 3, 4, 5, 6, 7], [2, 0, 0], [2, 0, 1, 2]] as [[UInt8]])
    func `A control message that is none ends the link`(bytes: [UInt8]) {
        #expect(throws: LinkProtocolError.self) {
            var reader = ControlReader()
            var offset = 0
            _ = try reader.read(bytes.span.bytes, &offset)
        }
    }

    @Test func `A build's name is printable and short`() {
        let hello = ControlMessage.Hello(build: "a\u{1B}[31m" + String(repeating: "x", count: 10_000), instance: 1)
        #expect(hello.build.utf8.count == 64)
        #expect(hello.build.hasPrefix("a[31mx"))
        #expect(ControlMessage.status(Array(repeating: 0, count: 4097)).bytes == nil)
    }
}
