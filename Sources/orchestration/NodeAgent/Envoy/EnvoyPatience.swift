/// How long an Envoy's word is waited for. A slow host (an emulated processor, thousands of listeners) needs many times what another
/// does, so that the wait follows what Envoy itself took, and a dead Envoy is told from a slow one by its process.
struct EnvoyPatience {
    /// Longest silence of an Envoy whose process lives; as its supervisor has it.
    private static let alive = Duration.seconds(60)
    /// Longest silence while no Envoy has been started: its supervisor asks the binary for two versions first.
    private static let unborn = Duration.seconds(20)

    /// What is waited in any case.
    let usual: Duration
    let began: ContinuousClock.Instant
    /// Since when it answers without a gap; nil while it does not.
    private var heard: ContinuousClock.Instant?
    /// The process that was seen first, and whether another came after it: Envoys that end and are started again.
    private var first: Int32?
    private var isAnother = false

    init(usual: Duration, from began: ContinuousClock.Instant) {
        self.usual = usual
        self.began = began
    }

    /// Its admin interface answered.
    mutating func answered(at now: ContinuousClock.Instant) { heard = heard ?? now }

    /// Its admin interface did not answer.
    /// - Parameter newest: the youngest Envoy that the supervisor knows of; nil for none.
    mutating func silent(newest: Int32?) {
        heard = nil
        guard let newest else { return }
        if let first, first != newest { isAnother = true }
        first = first ?? newest
    }

    func isOver(at now: ContinuousClock.Instant) -> Bool {
        if let heard { return now - heard > max(usual, (heard - began) * 2) }
        let limit = isAnother ? usual : first == nil ? Self.unborn : Self.alive
        return now - began > max(usual, limit)
    }
}
