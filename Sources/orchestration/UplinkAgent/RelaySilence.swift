/// When to say something through the tunnel, so that it shows whether anybody hears it, and when to begin the session anew.
///
/// A relay that was rebooted, or whose wireguard-go was, has forgotten the session and cannot dial; this end does not know.
/// WireGuard would go on until it renews the session, up to 120 s later (REKEY_AFTER_TIME), or 15 s after data that stays
/// unanswered (KEEPALIVE_TIMEOUT and REKEY_TIMEOUT of its protocol page). A relay that lives answers at once: its kernel says
/// that nobody listens on the port that is spoken to.
struct RelaySilence: Sendable {
    /// Without a byte from the relay before something is said. Envoy's checks come every 5 s by default.
    static let patience = Duration.seconds(3)
    /// The same for one that asks every second: where it has ceased to ask, answers must come before `RelayRhythm.patience` is over.
    static let shortPatience = Duration.seconds(1)
    /// Without a byte before the session is begun anew; something was said each second meanwhile.
    static let renewAfter = Duration.seconds(6)
    /// Until so long a silence it is begun anew each second: WireGuard repeats a handshake each 5 s only, and a path that is back
    /// would wait for that. Later the pace is WireGuard's own, so that an answer that takes longer than a second is not thrown away.
    static let renewUntil = Duration.seconds(30)

    enum Step: Equatable {
        case wait
        case speak
        /// - Parameter isFirst: of this silence.
        case renew(isFirst: Bool)
    }

    private var receivedBytes: UInt64 = 0
    private var since: Duration?
    private var isRenewed = false

    /// - Parameters:
    ///   - receivedBytes: the device's counter, which begins at zero again when the session is begun anew.
    ///   - isAskedEachSecond: whether the relay has asked for `/ready` every second; see `RelayRhythm`.
    ///   - now: of any steady clock.
    mutating func next(receivedBytes: UInt64, isAskedEachSecond: Bool = false, now: Duration) -> Step {
        let isHeard = receivedBytes != self.receivedBytes && !(isRenewed && receivedBytes == 0)
        self.receivedBytes = receivedBytes
        guard !isHeard, let since else {
            self.since = now
            isRenewed = false
            return .wait
        }
        let silence = now - since
        if silence < (isAskedEachSecond ? Self.shortPatience : Self.patience) { return .wait }
        guard silence >= Self.renewAfter, silence < Self.renewUntil || !isRenewed else { return .speak }
        defer { isRenewed = true }
        return .renew(isFirst: !isRenewed)
    }

    /// Since the relay was last heard, or first listened to.
    func duration(now: Duration) -> Duration { since.map { now - $0 } ?? .zero }
}
