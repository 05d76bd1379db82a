import LinkProtocol
import Testing

@Suite struct SessionTests {
    @Test func `A stream opens with its first bytes and ends on both sides`() throws {
        var pair = SessionPair()
        let id = try pair.dialer.open()
        pair.dialer.offer(3, on: id)
        pair.sendFromDialer()
        #expect(pair.toListener == frame(1, 1, stream: 1, length: 0) + frame(0, 0, stream: 1, length: 3, payload: [7, 7, 7]))
        #expect(try pair.hearAtListener() == [.opened(1), .payload(1, [7, 7, 7])])
        pair.listener.consumed(3, on: id, now: 0)
        pair.dialer.end(id)
        pair.sendFromDialer()
        #expect(try pair.hearAtListener() == [.ended(1)])

        // The other way goes on.
        pair.listener.offer(2, on: id)
        pair.listener.end(id)
        pair.sendFromListener()
        #expect(try pair.hearAtDialer() == [.payload(1, [8, 8]), .ended(1)])
        #expect(pair.listener.openStreams == 0)
        #expect(pair.dialer.openStreams == 1)
        pair.dialer.consumed(2, on: id, now: 0)
        #expect(pair.dialer.openStreams == 0)
    }

    @Test func `A stream that says nothing is announced all the same`() throws {
        var pair = SessionPair()
        _ = try pair.listener.open()
        pair.sendFromListener()
        #expect(pair.toDialer == frame(1, 1, stream: 2, length: 0))
        #expect(try pair.hearAtDialer() == [.opened(2)])
    }

    @Test func `A stream is reset on the other side`() throws {
        var pair = SessionPair()
        let heard = try pair.dialer.open()
        pair.sendFromDialer()
        pair.dialer.reset(heard)
        pair.sendFromDialer()
        #expect(try pair.hearAtListener() == [.opened(heard), .reset(heard)])
        #expect(pair.listener.openStreams == 0)
    }

    @Test func `Nobody sends more than the window, and the stream that is read goes on`() throws {
        var pair = SessionPair()
        let id = try pair.dialer.open()
        pair.dialer.offer(1 << 20, on: id)
        pair.sendFromDialer()
        #expect(payload(try pair.hearAtListener(), of: id) == 65_536)
        pair.sendFromDialer()
        #expect(pair.toListener.isEmpty)
        pair.listener.consumed(65_536, on: id, now: 0)
        pair.sendFromListener()
        _ = try pair.hearAtDialer()
        pair.sendFromDialer()
        // Its reader kept up: twice as much is given.
        #expect(payload(try pair.hearAtListener(), of: id) == 131_072)
    }

    @Test func `A window grows to its bound and no further, and the pool gets it back`() throws {
        var limits = LinkLimits()
        limits.largestWindow = 1 << 20
        limits.windowPool = 64 << 20
        var pair = SessionPair(listener: limits)
        let id = try pair.dialer.open()
        pair.dialer.offer(64 << 20, on: id)
        var largest = 0
        for _ in 0..<40 {
            pair.sendFromDialer()
            let came = payload(try pair.hearAtListener(), of: id)
            largest = max(largest, came)
            pair.listener.consumed(came, on: id, now: 0)
            pair.sendFromListener()
            _ = try pair.hearAtDialer()
        }
        #expect(largest == 1 << 20)
    }

    @Test func `A window that lasts for two round trips does not grow`() throws {
        for (roundTrip, largest) in [(UInt64(1_000_000), 65_536), (50_000_000, 8 << 20)] {
            var pair = SessionPair()
            pair.listener.roundTrip = roundTrip
            let id = try pair.dialer.open()
            pair.dialer.offer(1 << 30, on: id)
            var last = 0
            // Each window takes 10 ms.
            for round in UInt64(0)..<30 {
                pair.sendFromDialer()
                last = payload(try pair.hearAtListener(), of: id)
                pair.listener.consumed(last, on: id, now: 1_000_000_000 + round * 10_000_000)
                pair.sendFromListener()
                _ = try pair.hearAtDialer()
            }
            #expect(last == largest)
        }
    }

    @Test func `Streams that stopped reading leave the others a share of the pool`() throws {
        var limits = LinkLimits()
        limits.windowPool = 1 << 20
        var pair = SessionPair(listener: limits)
        var windows: [Int] = []
        for _ in 0..<20 {
            let id = try pair.dialer.open()
            pair.dialer.offer(64 << 20, on: id)
            var came = 0
            for _ in 0..<20 {
                pair.sendFromDialer()
                came = payload(try pair.hearAtListener(), of: id)
                pair.listener.consumed(came, on: id, now: 0)
                pair.sendFromListener()
                _ = try pair.hearAtDialer()
            }
            windows.append(came)
        }
        #expect(windows[0] > 200_000)
        #expect(windows.reduce(0, +) <= 20 * 65_536 + 1 << 20)
        #expect(windows.allSatisfy { $0 >= 65_536 })
        #expect(windows[5] > 65_536)
    }

    @Test func `Unread bytes of all streams have a bound, and the fullest pays`() throws {
        var limits = LinkLimits()
        limits.unread = 200_000
        var pair = SessionPair(listener: limits)
        for size in [10_000, 60_000, 50_000, 30_000, 60_001] {
            let id = try pair.dialer.open()
            pair.dialer.offer(size, on: id)
        }
        pair.sendFromDialer()
        #expect(try pair.hearAtListener().suffix(1) == [.reset(9)])
        pair.sendFromListener()
        #expect(try pair.hearAtDialer().contains(.reset(9)))
        #expect(pair.listener.openStreams == 4)
    }

    @Test func `A small answer passes eight transfers`() throws {
        var pair = SessionPair()
        let bulk = try (0..<8).map { _ in try pair.dialer.open() }
        for id in bulk { pair.dialer.offer(60_000, on: id) }
        let small = try pair.dialer.open()
        pair.dialer.offer(100, on: small)
        pair.dialer.removeOutput()
        var order: [StreamID] = []
        while let frame = pair.dialer.nextFrame() { order.append(frame.stream) }
        #expect(order.first == small)
        #expect(Set(order) == Set(bulk + [small]))
    }

    @Test func `Small ones without end leave the large ones their turn`() throws {
        var session = LinkSession(.dialer)
        let bulk = try session.open()
        session.offer(60_000, on: bulk)
        let small = try (0..<20).map { _ in try session.open() }
        for id in small { session.offer(10, on: id) }
        var order: [StreamID] = []
        for _ in 0..<30 {
            guard let frame = session.nextFrame() else { break }
            order.append(frame.stream)
            if frame.stream != bulk { session.offer(10, on: frame.stream) }
        }
        #expect(order.firstIndex(of: bulk).map { $0 <= 8 } == true)
    }

    @Test func `After a goodbye no stream is opened, and those that are open or on their way end by themselves`() throws {
        var pair = SessionPair()
        let id = try pair.listener.open()
        pair.sendFromListener()
        _ = try pair.hearAtDialer()
        pair.dialer.sayGoodbye()
        pair.dialer.sayGoodbye()
        // Sent before the goodbye came.
        let late = try pair.listener.open()
        pair.listener.offer(1, on: late)
        pair.sendFromListener()
        pair.sendFromDialer()
        #expect(try pair.hearAtListener() == [.goodbye(.normal)])
        #expect(throws: LinkSession.Refusal.goodbye) { try pair.listener.open() }
        #expect(try pair.hearAtDialer().first == .opened(late))
        pair.sendFromDialer()
        #expect(try pair.hearAtListener() == [])
        #expect(pair.dialer.openStreams == 2)
        pair.dialer.consumed(1, on: late, now: 0)
        for stream in [id, late] {
            pair.listener.end(stream)
            pair.dialer.end(stream)
        }
        pair.sendFromListener()
        pair.sendFromDialer()
        _ = try (pair.hearAtDialer(), pair.hearAtListener())
        #expect(pair.dialer.openStreams == 0 && pair.dialer.saidGoodbye)
        #expect(pair.listener.openStreams == 0 && pair.listener.heardGoodbye)
    }

    @Test func `Streams and pings have a bound`() throws {
        var limits = LinkLimits()
        limits.streams = 3
        var session = LinkSession(.dialer, limits: limits)
        for _ in 0..<3 { _ = try session.open() }
        #expect(throws: LinkSession.Refusal.full) { try session.open() }
        #expect((0..<400).compactMap { _ in session.ping() } == [0, 1, 2, 3])
        #expect(try hear(&session, frame(2, 2, stream: 0, length: 2)) == [.pong(2)])
        #expect(session.ping() == 4)
    }

    @Test func `Connections that come and go while the link stands still are turned away in the end`() throws {
        var limits = LinkLimits()
        limits.streams = 100
        var session = LinkSession(.dialer, limits: limits)
        var refused = 0
        for _ in 0..<10_000 {
            do {
                let id = try session.open()
                session.offer(4, on: id)
                session.reset(id)
            } catch {
                refused += 1
            }
        }
        #expect(refused > 5_000)
        #expect(!session.mayOpen)
        #expect(session.output.count < 100_000)
        #expect(session.nextFrame() == nil)
        session.removeOutput()
        #expect(session.mayOpen)
        _ = try session.open()
    }

    private func payload(_ heard: [Heard], of id: StreamID) -> Int {
        heard.reduce(0) { sum, next in if case .payload(id, let bytes) = next { sum + bytes.count } else { sum } }
    }
}
