/// Tells that the tunnel has fallen before WireGuard does, which notices after minutes.
///
/// A relay asks for `/ready` through the tunnel every second; where nothing came for some seconds from one that does so, nothing can.
/// Older relays ask every 5 s or less often, in bursts: theirs is no rhythm to conclude from, and must not make readiness flap.
///
/// Times are of any steady clock.
struct RelayRhythm: Sendable {
    /// Without a question and without a byte, after which the tunnel is silent.
    static let patience = Duration.seconds(3)
    /// So many questions within so long are a rhythm; a lossy path may swallow some between them.
    static let questions = 5
    static let window = Duration.milliseconds(7500)
    /// Questions nearer to each other are one.
    static let apart = Duration.milliseconds(500)

    /// The last ones.
    private var asked: [Duration] = []
    private var lastAsked: Duration?
    private var lastHeard: Duration?
    private var receivedBytes: UInt64 = 0
    private var lastCounted: Duration?

    /// Whether the relay has shown that it asks every second.
    var isKnown: Bool {
        guard asked.count == Self.questions, let first = asked.first, let last = asked.last else { return false }
        return last - first <= Self.window
    }

    /// The relay has asked.
    mutating func ask(at now: Duration) {
        lastAsked = now
        lastHeard = now
        if let last = asked.last, now - last < Self.apart { return }
        asked.append(now)
        if asked.count > Self.questions { asked.removeFirst() }
    }

    /// The device's counter, looked at every second or so; zero when it begins anew.
    mutating func count(receivedBytes: UInt64, at now: Duration) {
        defer {
            self.receivedBytes = receivedBytes
            lastCounted = now
        }
        guard receivedBytes != self.receivedBytes, receivedBytes > 0 else { return }
        // Bytes that a question brought say nothing of the time after it.
        if let lastAsked, let lastCounted, lastAsked >= lastCounted { return }
        lastHeard = now
    }

    /// Since anything came, where that is too long; nil otherwise.
    func silence(now: Duration) -> Duration? {
        guard isKnown, let lastHeard, now - lastHeard > Self.patience else { return nil }
        return now - lastHeard
    }
}
