import LinkProtocol
import Testing

/// What Envoy writes before a connection, and what others may.
@Suite struct ProxyHeaderTests {
    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
    /// 192.0.2.7:4711 to 198.51.100.1:443.
    private static let ipv4: [UInt8] = [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xBB]

    private static func header(_ command: UInt8 = 0x21, _ family: UInt8 = 0x11, length: Int? = nil, _ body: [UInt8] = ipv4)
        -> [UInt8]
    {
        let length = length ?? body.count
        return signature + [command, family, UInt8(length >> 8), UInt8(length & 0xFF)] + body
    }

    private func read(_ bytes: [UInt8], in size: Int) -> (header: ProxyHeaderReader.Header?, count: Int) {
        var reader = ProxyHeaderReader()
        for start in stride(from: 0, to: bytes.count, by: size) {
            let piece = Array(bytes[start..<min(start + size, bytes.count)])
            var offset = 0
            if let header = reader.read(piece.span.bytes, &offset) { return (header, start + offset) }
        }
        return (nil, bytes.count)
    }

    @Test(arguments: [1, 5, 1000]) func `A client's address is read, and what follows is left`(size: Int) {
        let header = Self.header()
        let (read, count) = read(header + Array("bytes".utf8), in: size)
        #expect(read == .source(ProxySource(address: [192, 0, 2, 7], port: 4711)))
        #expect(count == header.count)
    }

    @Test func `IPv6 and further fields are read`() {
        let address = [UInt8](1...16)
        let fields: [UInt8] = [0x02, 0, 3, 0x61, 0x62, 0x63, 0x05, 0, 0]
        let header = Self.header(0x21, 0x21, address + [UInt8](repeating: 9, count: 16) + [0, 1, 0, 2] + fields)
        #expect(read(header, in: 7).header == .source(ProxySource(address: address, port: 1)))
    }

    @Test(
        arguments: [
            ("version 1", Array("PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n".utf8)),
            ("TLS", [0x16, 0x03, 0x01]), ("HTTP", Array("GET / HTTP/1.1\r\n\r\n".utf8)),
            ("a signature that ends wrongly", Array(signature.dropLast()) + [0x0B]),
            ("version 3", header(0x31)), ("the command LOCAL, of no client", header(0x20)), ("another command", header(0x22)),
            ("UDP", header(0x21, 0x12)), ("a unix socket", header(0x21, 0x31, [UInt8](repeating: 0, count: 216))),
            ("no family", header(0x21, 0x00, [])), ("too short for its addresses", header(length: 11)),
            ("longer than it may be", header(length: 1009)), ("64 KiB", header(length: 65_535)),
            ("a field that is cut", header(0x21, 0x11, ipv4 + [1, 0])),
            ("a field longer than the header", header(0x21, 0x11, ipv4 + [1, 0, 9, 0])),
        ] as [(String, [UInt8])])
    func `Anything else is malformed, wherever it is cut`(what: String, bytes: [UInt8]) {
        for size in [1, 3, 4096] { #expect(read(bytes, in: size).header == .malformed, "\(what)") }
    }

    @Test func `A header that does not end is waited for`() {
        let header = Self.header(length: 1008)
        #expect(read(header, in: 1).header == nil)
        #expect(read(Array(Self.signature.prefix(7)), in: 1).header == nil)
    }
}
