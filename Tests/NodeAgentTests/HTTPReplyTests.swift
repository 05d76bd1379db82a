import Testing

@testable import NodeAgent

@Suite struct HTTPReplyTests {
    private func parse(_ text: String, isAtEnd: Bool = false) throws(MalformedHTTP) -> HTTPReply? {
        try HTTPReplyParser.parse(Array(text.utf8), isAtEnd: isAtEnd)
    }

    static let whole = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding:\tChunked\r\nX: \r\n\r\n00005\r\nhello\r\n0\r\n",
    ]

    /// As an uplink that wants the prober to be busy answers.
    @Test func readsAChunkForEachByte() throws {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        let reply = try #require(try parse(head + String(repeating: "1\r\nx\r\n", count: 200_000) + "0\r\n\r\n"))
        #expect(reply.body == [UInt8](repeating: UInt8(ascii: "x"), count: 200_000))
        let long = String(repeating: "y", count: 0xAB)
        #expect(try parse(head + "aB\r\n\(long)\r\n0\r\n\r\n")?.text == long)
    }

    @Test(arguments: whole) func readsBodies(_ text: String) throws {
        let reply = try #require(try parse(text))
        #expect(reply.status == 200)
        #expect(reply.text == "hello")
    }

    @Test(arguments: whole) func waitsForEveryByte(_ text: String) throws {
        let bytes = Array(text.utf8)
        var firstAnswer = bytes.count
        for length in 0..<bytes.count where firstAnswer == bytes.count {
            if try HTTPReplyParser.parse(Array(bytes.prefix(length)), isAtEnd: false) != nil { firstAnswer = length }
        }
        // The empty line after the last chunk adds nothing.
        #expect(firstAnswer >= bytes.count - 2)
    }

    @Test func bodyUntilTheEnd() throws {
        let text = "HTTP/1.0 404 Not Found\r\n\r\nno"
        #expect(try parse(text) == nil)
        #expect(try parse(text, isAtEnd: true) == HTTPReply(status: 404, body: Array("no".utf8)))
    }

    @Test(arguments: [
        "", "HTTP/1.1 200 OK\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 -12 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n;1\r\nx\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ]) func refusesWhatIsNone(_ text: String) {
        #expect(throws: MalformedHTTP.self) { try parse(text, isAtEnd: true) }
    }

    @Test func endlessHeaderIsCut() {
        #expect(throws: MalformedHTTP.self) { try parse("HTTP/1.1 200 OK\r\nX: " + String(repeating: "y", count: 20_000)) }
    }

    @Test func mutatedBytesNeverTrap() throws {
        var generator = SplitMix(state: 1)
        var answers = 0
        for round in 0..<20_000 {
            var bytes = Array(Self.whole[round % Self.whole.count].utf8)
            for _ in 0...(round % 4) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
            }
            do throws(MalformedHTTP) {
                if try HTTPReplyParser.parse(bytes, isAtEnd: true) != nil { answers += 1 }
            } catch {
                #expect(!error.reason.isEmpty)
            }
        }
        #expect(answers > 0)
    }
}

/// Steele, Lea and Flood's generator: the same bytes in every run.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}
