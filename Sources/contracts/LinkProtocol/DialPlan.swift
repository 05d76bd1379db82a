/// When one of an uplink's links is dialed next, and by which carrier. Times are seconds on any steady clock; chance comes from
/// outside.
public struct DialPlan: Sendable {
    /// Seconds before the second attempt; doubled with each that fails.
    static let firstDelay = 0.25
    static let longestDelay = 15.0
    /// A link that lived so long was good: the next is dialed as if for the first time.
    static let goodLife = 5.0

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

    private let carriers: Int
    private var carrier = 0
    /// Rounds through all carriers that failed.
    private var failedRounds = 0
    private var isFirst = true
    /// Links of one process begin apart, so that what cuts connections at an age does not cut all at once.
    private let firstDelay: Double

    /// `carriers`, in order of preference, is at least one; `slot` says which of the uplink's links this is, from 0.
    public init(carriers: Int, slot: Int) {
        self.carriers = max(1, carriers)
        firstDelay = Double(slot) * 2
    }

    /// `chance` in 0..<1 spreads those who were cut at the same time.
    public func next(chance: Double) -> Attempt {
        if isFirst { return Attempt(carrier: carrier, delay: firstDelay) }
        guard carrier == 0 else { return Attempt(carrier: carrier, delay: 0) }
        // No wait after a link that was good but what spreads; after failures half of the delay at least.
        guard failedRounds > 0 else { return Attempt(carrier: 0, delay: Self.firstDelay * chance) }
        let delay = min(Self.firstDelay * Double(1 << min(failedRounds, 10)), Self.longestDelay)
        return Attempt(carrier: 0, delay: delay * (0.5 + chance / 2))
    }

    /// The attempt made no link: the next carrier's turn.
    public mutating func failed() {
        isFirst = false
        carrier += 1
        guard carrier >= carriers else { return }
        carrier = 0
        failedRounds += 1
    }

    /// The link ended after so many seconds. The preferred carrier comes first again, unless the link died young: then the next.
    public mutating func ended(after seconds: Double) {
        isFirst = false
        guard seconds >= Self.goodLife else { return failed() }
        carrier = 0
        failedRounds = 0
    }
}
