/// When one of an uplink's links is dialed next, and by which carrier. Times are seconds on any steady clock; chance comes from
/// outside.
public struct DialPlan: Sendable {
    /// Seconds before the second attempt; doubled with each that fails.
    static let firstDelay = 0.25
    static let longestDelay = 15.0
    /// A link that lived so long was good: the next is dialed as if for the first time.
    static let goodLife = 5.0
    /// Seconds until a carrier that is preferred to the one in use is tried again; doubled with each time that it fails.
    static let firstReturn = 30.0
    static let longestReturn = 300.0

    /// What to do next.
    public struct Attempt: Equatable, Sendable {
        /// Index among the carriers.
        public let carrier: Int
        /// Seconds to wait before.
        public let delay: Double

        public init(carrier: Int, delay: Double) {
            self.carrier = carrier
            self.delay = delay
        }
    }

    /// A link that is up is to make place for another: before something between cuts it, or as a better way may be free again.
    public struct Renewal: Equatable, Sendable {
        /// Tried in this order until one does; the link stays until then.
        public let carriers: [Int]
        /// Seconds from now.
        public let delay: Double

        public init(carriers: [Int], delay: Double) {
            self.carriers = carriers
            self.delay = delay
        }
    }

    private let slot: Int
    private let slots: Int
    /// In the order in which they are tried: the one that did last comes first.
    private var order: [Int]
    private var position = 0
    /// Rounds through all carriers that failed.
    private var failedRounds = 0
    private var isFirst = true
    /// From one try of preferred carriers to the next.
    private var returnDelay = firstReturn
    /// When they are tried again; nil before another carrier did in their place. It outlives links, or what cuts them before it would
    /// keep the uplink from the better way for ever.
    private var returnTime: Double?

    /// `carriers`, in order of preference, is at least one; `slot` says which of the uplink's `slots` links this is, from 0.
    public init(carriers: Int, slot: Int, slots: Int = 1) {
        self.slot = slot
        self.slots = max(1, slots)
        order = Array(0..<max(1, carriers))
    }

    private var carrier: Int { order[position] }

    /// `chance` in 0..<1 spreads those who were cut at the same time.
    public func next(chance: Double) -> Attempt {
        // Links of one process begin apart, so that what cuts connections at an age does not cut all at once.
        if isFirst { return Attempt(carrier: carrier, delay: Double(slot) * 2) }
        guard position == 0 else { return Attempt(carrier: carrier, delay: 0) }
        // No wait after a link that was good but what spreads; after failures half of the delay at least.
        guard failedRounds > 0 else { return Attempt(carrier: carrier, delay: Self.firstDelay * chance) }
        let delay = min(Self.firstDelay * Double(1 << min(failedRounds, 10)), Self.longestDelay)
        return Attempt(carrier: carrier, delay: delay * (0.5 + chance / 2))
    }

    /// The attempt made no link: the next carrier's turn.
    public mutating func failed() {
        isFirst = false
        if carrier == 0 { returnTime = nil }
        position += 1
        guard position >= order.count else { return }
        position = 0
        failedRounds += 1
        order.sort()
    }

    /// A link is up over that carrier.
    public mutating func established(over carrier: Int, now: Double) {
        isFirst = false
        if carrier == 0 { (returnDelay, returnTime) = (Self.firstReturn, nil) }
        if carrier > 0, returnTime == nil || carrier < order[0] { returnTime = now + returnDelay }
        order = [carrier] + order.filter { $0 != carrier }.sorted()
        position = 0
    }

    /// The link ended after so many seconds. The same carrier comes first again, unless the link died young: then the next. To wait for
    /// a preferred one that fails slowly would be time without a link; it is tried while there is one.
    public mutating func ended(after seconds: Double) {
        isFirst = false
        guard seconds >= Self.goodLife else { return failed() }
        failedRounds = 0
    }

    /// When the link that is up shall make place; nil for never.
    /// - Parameters:
    ///   - lifetime: after which links of this carrier are cut, as far as that is known.
    ///   - age: the link's.
    public func renewal(lifetime: Double?, age: Double, now: Double) -> Renewal? {
        // Slots renew at different ages, so that they never fall into step.
        let limit = lifetime.map { max(0, $0 * (0.8 - 0.3 * Double(slot) / Double(slots)) - age) }
        let better = Array(0..<carrier)
        guard !better.isEmpty else { return limit.map { Renewal(carriers: [carrier], delay: $0) } }
        let wait = returnTime.map { max(0, $0 - now) } ?? returnDelay
        if let limit, limit <= wait { return Renewal(carriers: better + [carrier], delay: limit) }
        return Renewal(carriers: better, delay: wait)
    }

    /// When a link whose edge makes place for another process is to be followed by one to that: soon, and again until it is.
    /// - Parameters:
    ///   - carrier: the link's, which is tried before the others.
    ///   - tries: that came to nothing.
    ///   - chance: in 0..<1, spreads the uplinks of one edge.
    public func move(from carrier: Int, tries: Int, chance: Double) -> Renewal {
        let delay = Self.firstDelay * (tries == 0 ? chance : Double(1 << min(tries, 3)))
        return Renewal(carriers: [carrier] + order.filter { $0 != carrier }.sorted(), delay: delay)
    }

    /// No preferred carrier did.
    public mutating func returnFailed(now: Double) {
        returnDelay = min(returnDelay * 2, Self.longestReturn)
        returnTime = now + returnDelay
    }
}

/// After how long something between cuts the links of one carrier, where it does so by their age. Times are seconds of any steady clock.
public struct LinkLifetimes: Sendable {
    /// Parts of the longer age by which two may differ and be alike.
    static let tolerance = 0.1
    /// Below it a link is one that died young, for whatever reason.
    static let shortest = 10.0
    /// Links that end nearer to each other had one cause, which was not their age.
    static let apart = 1.0

    private struct End: Sendable {
        let age: Double
        let time: Double
    }

    private var ends: [End] = []

    public init() {}

    /// A link was cut, at that age, by neither end.
    public mutating func cut(at age: Double, now: Double) {
        guard age >= Self.shortest else { return }
        ends = Array((ends + [End(age: age, time: now)]).suffix(2))
    }

    /// A link is as old as that: what it outlived by far is no rule any more.
    public mutating func outlived(_ age: Double) {
        if let steady, age > steady * 1.5 { ends = [] }
    }

    /// The age at which the last two ended, if it was about the same; nil while there is no such rule.
    public var steady: Double? {
        guard ends.count == 2, ends[1].time - ends[0].time >= Self.apart else { return nil }
        let (least, most) = (min(ends[0].age, ends[1].age), max(ends[0].age, ends[1].age))
        return most - least <= most * Self.tolerance ? least : nil
    }
}
