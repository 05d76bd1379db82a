import LinkProtocol
import Testing

/// What a session makes of frames that a stranger wrote: the listener's end, at which streams 1 and 3 are open.
@Suite struct SessionFramesTests {
    private func session(_ limits: LinkLimits = LinkLimits()) throws -> LinkSession {
        var session = LinkSession(.listener, limits: limits)
        _ = try hear(&session, frame(1, 1, stream: 1, length: 0) + frame(1, 1, stream: 3, length: 0))
        session.removeOutput()
        return session
    }

    @Test(arguments: [
        (frame(0, 0, stream: 1, length: 0, version: 1), LinkProtocolError.version(1)),
        (frame(4, 0, stream: 1, length: 0), .frameKind(4)),
        (frame(255, 0, stream: 1, length: 0), .frameKind(255)),
        (frame(0, 0, stream: 1, length: 65_537), .frameTooLong(1, length: 65_537, allowed: 65_536)),
        (frame(0, 0, stream: 1, length: .max), .frameTooLong(1, length: 4_294_967_295, allowed: 65_536)),
        (frame(0, 0, stream: 0, length: 1), .wrongStream(0)),
        (frame(1, 0, stream: 0, length: 1), .wrongStream(0)),
        (frame(2, 1, stream: 1, length: 1), .wrongStream(1)),
        (frame(3, 0, stream: 3, length: 0), .wrongStream(3)),
        (frame(3, 0, stream: 0, length: 3), .goAwayReason(3)),
        (frame(0, 0, stream: 5, length: 0), .neverOpened(5)),
        (frame(1, 8, stream: 5, length: 0), .neverOpened(5)),
        (frame(0, 0, stream: 2, length: 0), .neverOpened(2)),
        (frame(1, 1, stream: 2, length: 0), .openedWrongly(2)),
        (frame(1, 1, stream: 3, length: 0), .openedWrongly(3)),
        (frame(0, 1, stream: 1, length: 0), .openedWrongly(1)),
        (frame(1, 0, stream: 1, length: 0x7FFF_0000), .windowTooLarge(1)),
        (frame(0, 4, stream: 1, length: 0) + frame(0, 0, stream: 1, length: 1, payload: [0]), .dataAfterEnd(1)),
    ])
    func `What breaks the protocol ends the link with a word for the peer`(bytes: [UInt8], error: LinkProtocolError) throws {
        var session = try session()
        #expect(throws: error) { try hear(&session, bytes) }
        #expect(session.output.suffix(12) == frame(3, 0, stream: 0, length: 1)[...])
        #expect(!session.mayOpen)
        #expect(error.description.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F })
    }

    @Test(arguments: [
        ([frame(0, 0, stream: 1, length: 2, payload: [5, 6])], [Heard.payload(1, [5, 6])]),
        ([frame(0, 4, stream: 1, length: 1, payload: [5])], [.payload(1, [5]), .ended(1)]),
        ([frame(0, 1, stream: 5, length: 1, payload: [5])], [.opened(5), .payload(5, [5])]),
        ([frame(0, 5, stream: 5, length: 1, payload: [5])], [.opened(5), .payload(5, [5]), .ended(5)]),
        ([frame(0, 9, stream: 5, length: 1, payload: [5])], [.opened(5), .reset(5)]),
        ([frame(0, 8, stream: 1, length: 3, payload: [1, 2, 3]), frame(1, 4, stream: 3, length: 0)], [.reset(1), .ended(3)]),
        // Late words about a stream that is gone, and a second end.
        ([frame(1, 8, stream: 1, length: 0), frame(0, 4, stream: 1, length: 1, payload: [9])], [.reset(1)]),
        ([frame(1, 4, stream: 1, length: 0), frame(1, 4, stream: 1, length: 0)], [.ended(1)]),
        // An answer to a ping that nobody sent; flags of a later version.
        ([frame(2, 2, stream: 0, length: 77)], []),
        ([frame(1, 0xFFF0, stream: 1, length: 1)], []),
        (
            [frame(3, 0, stream: 0, length: 0), frame(0, 0, stream: 1, length: 1, payload: [1])],
            [.goodbye(.normal), .payload(1, [1])]
        ),
        ([frame(3, 0, stream: 0, length: 2)], [.goodbye(.internalError)]),
    ])
    func `Frames mean the same wherever they are cut`(frames: [[UInt8]], heard: [Heard]) throws {
        let bytes = frames.flatMap(\.self)
        for size in 1...bytes.count {
            var session = try session()
            var rest = bytes
            var all: [Heard] = []
            while !rest.isEmpty { all += try hear(&session, &rest, atMost: size) }
            #expect(joined(all) == heard, "in pieces of \(size)")
        }
    }

    /// Payload of one stream that came in pieces, as one.
    private func joined(_ heard: [Heard]) -> [Heard] {
        heard.reduce(into: []) { all, next in
            if case .payload(let id, let more) = next, case .payload(id, let before)? = all.last {
                all[all.count - 1] = .payload(id, before + more)
            } else {
                all.append(next)
            }
        }
    }

    @Test func `Every prefix of a frame is waited for in silence`() throws {
        let whole = frame(0, 1, stream: 5, length: 100)
        for length in 0..<12 {
            var session = try session()
            #expect(try hear(&session, Array(whole.prefix(length))) == [])
            #expect(session.output.isEmpty)
        }
    }

    @Test func `Ten thousand streams too many are turned away, each with a reset`() throws {
        var limits = LinkLimits()
        limits.peersStreams = 100
        var session = LinkSession(.listener, limits: limits)
        let opened = try hear(&session, (0..<100).flatMap { frame(1, 1, stream: $0 * 2 + 1, length: 0) })
        #expect(opened.count == 100)
        session.removeOutput()
        for id in UInt32(100)..<10_100 {
            let stray = frame(0, 1, stream: id * 2 + 1, length: 3, payload: [1, 2, 3])
            #expect(try hear(&session, stray) == [])
            #expect(session.output == frame(1, 8, stream: id * 2 + 1, length: 0))
            session.removeOutput()
        }
        #expect(session.openStreams == 100)
    }

    @Test func `A flood of pings that reads no answer ends the link`() throws {
        var session = try session()
        var limits = LinkLimits()
        limits.streams = 0
        #expect(throws: LinkProtocolError.self) {
            for word in 0..<1_000_000 { _ = try hear(&session, frame(2, 1, stream: 0, length: UInt32(word))) }
        }
        #expect(session.output.count < 2 << 20)
    }

    @Test func `A ping is answered with its own word`() throws {
        var session = try session()
        _ = try hear(&session, frame(2, 1, stream: 0, length: 0xDEAD_BEEF))
        #expect(session.output == frame(2, 2, stream: 0, length: 0xDEAD_BEEF))
    }
}
