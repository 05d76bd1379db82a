/// Finds out how large a packet the way to the relay carries.
///
/// Some networks drop packets that are too long for them without the word that would tell (RFC 2923): connections open, and stall
/// with the first long answer. A datagram to a closed port of the relay is answered in a few bytes when it arrives, so it tells
/// of this direction, which is mostly as wide as the other. What is found stays until `begin`: to try more would be to stall.
///
/// Times are of any steady clock.
struct PathMTU: Sendable {
    /// What every network carries (RFC 791, section 3.1); below it nothing is gained.
    static let least = 576
    /// Passes wherever anything does.
    static let small = 128
    /// Between two looks at a path that carries what it should.
    static let calm = Duration.seconds(60)
    /// Losses in a row that count as one, so that a lost packet is not taken for a narrow path.
    static let attempts = 3
    /// Bytes within which the search ends.
    static let grain = 8

    private enum Step {
        case rest(until: Duration)
        case full
        /// Whether probes are answered at all: firewalls of the VPS may drop them.
        case small
        case halving(low: Int, high: Int)
        /// The path may have broken down during the search.
        case confirming(Int)
    }

    private var limit: Int
    private var step = Step.rest(until: .zero)
    private var losses = 0
    private var isAsking = false
    /// Bytes that the path carries where that is less than what was asked for; nil otherwise, and as long as it is not known.
    private(set) var found: Int?

    /// - Parameter limit: the tunnel's MTU as configured, in bytes.
    init(limit: Int) { self.limit = limit }

    /// The path may be another one.
    mutating func begin(limit: Int) { self = PathMTU(limit: limit) }

    /// To be called each second or so.
    /// - Parameters:
    ///   - isConnected: whether there is a session with the relay.
    ///   - arrived: whether the probe that was asked for last has arrived.
    /// - Returns: the length in bytes of a packet to be sent now; nil for none.
    mutating func next(now: Duration, isConnected: Bool, arrived: Bool) -> Int? {
        guard isConnected else {
            // What is unanswered now says nothing of the path.
            rest(until: now)
            return nil
        }
        if isAsking { take(arrived: arrived, now: now) }
        if case .rest(let until) = step {
            guard now >= until else { return nil }
            step = .full
        }
        isAsking = true
        return size
    }

    private var size: Int {
        switch step {
        case .rest, .full: found ?? limit
        case .small: Self.small
        case .halving(let low, let high): (low + high) / 2
        case .confirming(let size): size
        }
    }

    private mutating func take(arrived: Bool, now: Duration) {
        isAsking = false
        losses = arrived ? 0 : losses + 1
        guard arrived || losses == Self.attempts else { return }
        losses = 0
        switch step {
        case .full: arrived ? rest(until: now + Self.calm) : (step = .small)
        case .small: arrived ? halve(Self.small, found ?? limit) : rest(until: now + Self.calm)
        case .halving(let low, let high): arrived ? halve(size, high) : halve(low, size)
        case .confirming(let size):
            if arrived, size < (found ?? limit) - Self.grain { found = max(size, Self.least) }
            rest(until: now + Self.calm)
        case .rest: break
        }
    }

    private mutating func halve(_ low: Int, _ high: Int) {
        step = high - low > Self.grain ? .halving(low: low, high: high) : .confirming(low)
    }

    private mutating func rest(until: Duration) {
        step = .rest(until: until)
        losses = 0
        isAsking = false
    }
}
