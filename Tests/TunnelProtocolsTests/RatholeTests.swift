import NetworkTypes
import Testing
import TunnelProtocols

/// The golden bytes of the protocol's page: service `p8080`, its token and a nonce of 0 to 31.
@Suite struct RatholeTests {
    private let token = Array("0123456789abcdef0123456789abcdef".utf8)
    private let nonce = (0..<32).map { UInt8($0) }

    private func bytes(_ digits: String) -> [UInt8] {
        stride(from: 0, to: digits.count, by: 2).compactMap { UInt8(digits.dropFirst($0).prefix(2), radix: 16) }
    }

    @Test func `A control connection`() {
        let hello = bytes("00000000019b20da843a5cfafd720cf97c674765d43b8681e1d163e9381298f23c846d406d")
        #expect(Rathole.Hello(hello) == .control(service: Rathole.digest(ofService: "p8080")))
        let challenge = bytes("0000000001000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
        #expect(Rathole.challenge(nonce: nonce) == challenge)
        let proof = bytes("932f6904ee1e737ce87af300dc44230f4a636438d03ddbc2d1c6acd69c759cc1")
        #expect(Rathole.proof(token: token, nonce: nonce) == proof)
        let data = bytes("0100000001932f6904ee1e737ce87af300dc44230f4a636438d03ddbc2d1c6acd69c759cc1")
        #expect(Rathole.Hello(data) == .data(session: proof))
    }

    @Test func `What is no hello`() {
        let hello = [0, 0, 0, 0, 1] + nonce
        #expect(Rathole.Hello(hello) != nil)
        for (index, value) in [(0, 2), (1, 1), (3, 9), (4, 0), (4, 2)] {
            var other = hello
            other[index] = UInt8(value)
            #expect(Rathole.Hello(other) == nil)
        }
        #expect(Rathole.Hello(Array(hello.dropLast())) == nil)
        #expect(Rathole.Hello(hello + [0]) == nil)
    }

    @Test(
        arguments: [
            ("0c00000000cb007109409c050068656c6c6f", "203.0.113.9"),
            ("180100000020010db8000000000000000000000009409c050068656c6c6f", "2001:db8::9"),
        ])
    func `Datagrams are read wherever they are cut`(digits: String, visitor: String) throws {
        let datagram = Rathole.Datagram(visitor: try IPAddress(parsing: visitor), port: 40000, payload: Array("hello".utf8))
        let frame = bytes(digits)
        #expect(datagram.frame == frame)
        for size in [1, 3, 7, 100] {
            var reader = Rathole.DatagramReader()
            var found: [Rathole.Datagram] = []
            let input = frame + frame + frame
            for start in stride(from: 0, to: input.count, by: size) {
                let piece = Array(input[start..<min(start + size, input.count)])
                var offset = 0
                while let next = try reader.read(piece.span.bytes, &offset) { found.append(next) }
                #expect(offset == piece.count)
            }
            #expect(found == [datagram, datagram, datagram])
        }
    }

    @Test(arguments: ["0d", "00", "ff", "0c01000000cb007109409c0500", "0c00010000cb007109409c0500", "18000000002001"])
    func `A header that is none`(digits: String) {
        let piece = bytes(digits) + Array(repeating: 0, count: 20)
        #expect(throws: Rathole.Fault.self) {
            var reader = Rathole.DatagramReader()
            var offset = 0
            while try reader.read(piece.span.bytes, &offset) != nil {}
        }
    }

    @Test func `Empty and longest payloads`() throws {
        for count in [0, 65_535] {
            let datagram = Rathole.Datagram(
                visitor: try IPAddress(parsing: "10.0.0.1"), port: 1, payload: Array(repeating: 7, count: count))
            let frame = try #require(datagram.frame)
            var reader = Rathole.DatagramReader()
            var offset = 0
            #expect(try reader.read(frame.span.bytes, &offset) == datagram)
        }
        #expect(
            Rathole.Datagram(visitor: try IPAddress(parsing: "10.0.0.1"), port: 1, payload: Array(repeating: 7, count: 65_536))
                .frame == nil)
    }
}
