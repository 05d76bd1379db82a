import Glibc
import LinkProtocol
import Testing

/// Two sessions talk in pieces and orders that chance chooses: what was sent arrives, whole and in order, and nothing is left over.
@Suite struct SessionRandomTests {
    @Test(arguments: 0..<20) func `What is sent arrives whatever the order of things`(seed: Int) throws {
        var chance = Chance(state: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1)
        var limits = LinkLimits()
        limits.frame = [100, 4096, 65_536][seed % 3]
        limits.largestWindow = [65_536, 300_000][seed % 2]
        limits.windowPool = 400_000
        var pair = SessionPair(dialer: limits, listener: limits)
        var dialer = Side()
        var listener = Side()
        for _ in 0..<600 {
            dialer.act(&pair.dialer, &chance)
            listener.act(&pair.listener, &chance)
            if chance.one(in: 3) { pair.sendFromDialer { dialer.payload($0) } }
            if chance.one(in: 3) { pair.sendFromListener { listener.payload($0) } }
            listener.take(try pair.hearAtListener(atMost: chance.below(100_000)), &pair.listener)
            dialer.take(try pair.hearAtDialer(atMost: chance.below(100_000)), &pair.dialer)
        }
        dialer.endAll(&pair.dialer)
        listener.endAll(&pair.listener)
        for _ in 0..<4_000 where pair.dialer.openStreams + pair.listener.openStreams > 0 {
            dialer.consumeAll(&pair.dialer)
            listener.consumeAll(&pair.listener)
            pair.sendFromDialer { dialer.payload($0) }
            pair.sendFromListener { listener.payload($0) }
            listener.take(try pair.hearAtListener(), &pair.listener)
            dialer.take(try pair.hearAtDialer(), &pair.dialer)
            dialer.endAll(&pair.dialer)
            listener.endAll(&pair.listener)
        }
        #expect(pair.dialer.openStreams == 0)
        #expect(pair.listener.openStreams == 0)
        #expect(dialer.sent.count + listener.sent.count > 10)
        #expect(dialer.isIntact && listener.isIntact)
        for (from, to) in [(dialer, listener), (listener, dialer)] {
            for (id, sent) in from.sent where !from.resets.contains(id) && !to.resets.contains(id) {
                #expect(to.got[id, default: 0] == sent, "stream \(id)")
                #expect(to.ended.contains(id))
            }
        }
    }
}

/// What one side said and heard: bytes of each stream, which all have one pattern.
private struct Side {
    private static let pattern = (0..<70_000).map { UInt8(truncatingIfNeeded: $0 % 251) }

    var sent: [StreamID: Int] = [:]
    var got: [StreamID: Int] = [:]
    var isIntact = true
    var ended: Set<StreamID> = []
    var resets: Set<StreamID> = []
    private var open: [StreamID] = []
    private var unread: [StreamID: Int] = [:]

    mutating func act(_ session: inout LinkSession, _ chance: inout Chance) {
        if chance.one(in: 40), open.count < 20, let id = try? session.open() { open.append(id) }
        if chance.one(in: 200) { _ = session.ping() }
        guard let id = open.isEmpty ? nil : open[chance.below(open.count)] else { return }
        switch chance.below(20) {
        case 0..<8: session.offer(chance.below([10, 1_000, 200_000][chance.below(3)]), on: id)
        case 8..<16:
            let count = chance.below(unread[id, default: 0] + 1)
            session.consumed(count, on: id, now: 0)
            unread[id, default: 0] -= count
        case 16 where chance.one(in: 3):
            session.end(id)
            open.removeAll { $0 == id }
        case 17 where chance.one(in: 12):
            session.reset(id)
            resets.insert(id)
            open.removeAll { $0 == id }
        default: break
        }
    }

    mutating func payload(_ frame: LinkSession.Frame) -> [UInt8] {
        defer { sent[frame.stream, default: 0] += frame.count }
        return Self.bytes(frame.count, at: sent[frame.stream, default: 0])
    }

    private static func bytes(_ count: Int, at place: Int) -> [UInt8] { Array(pattern[place % 251..<place % 251 + count]) }

    mutating func take(_ heard: [Heard], _ session: inout LinkSession) {
        for event in heard {
            switch event {
            case .opened(let id): open.append(id)
            case .payload(let id, let bytes):
                isIntact = isIntact && memcmp(bytes, Self.bytes(bytes.count, at: got[id, default: 0]), bytes.count) == 0
                got[id, default: 0] += bytes.count
                unread[id, default: 0] += bytes.count
            case .ended(let id): ended.insert(id)
            case .reset(let id):
                resets.insert(id)
                open.removeAll { $0 == id }
            case .pong, .goodbye: break
            }
        }
    }

    mutating func consumeAll(_ session: inout LinkSession) {
        for (id, count) in unread where count > 0 { session.consumed(count, on: id, now: 0) }
        unread = [:]
    }

    mutating func endAll(_ session: inout LinkSession) {
        for id in open { session.end(id) }
        open = []
    }
}

/// Chance that repeats: xorshift.
struct Chance {
    var state: UInt64

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(max(1, bound))) }
    mutating func one(in count: Int) -> Bool { below(count) == 0 }
}
