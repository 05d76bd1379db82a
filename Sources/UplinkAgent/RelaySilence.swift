/// When to say something through the tunnel, so that WireGuard finds out whether anybody hears it.
///
/// A relay that was rebooted has forgotten the session, and this end does not know: keepalives want no answer, so WireGuard would
/// go on until it renews the session, up to 120 s later (REKEY_AFTER_TIME). Data that stays unanswered for 15 s
/// (KEEPALIVE_TIMEOUT and REKEY_TIMEOUT of its protocol page) makes it shake hands anew.
struct RelaySilence: Sendable {
    /// Seconds without a byte from the relay before something is said, and between the times. Envoy's checks come every 5 s by default.
    static let patience: Int64 = 6

    private var receivedBytes: UInt64 = 0
    private var heardAt: Int64?
    private var spokeAt: Int64 = 0

    /// - Parameters:
    ///   - receivedBytes: the device's counter.
    ///   - now: seconds of any steady clock.
    mutating func mustSpeak(receivedBytes: UInt64, now: Int64) -> Bool {
        guard receivedBytes == self.receivedBytes, heardAt != nil else {
            self.receivedBytes = receivedBytes
            heardAt = now
            spokeAt = now
            return false
        }
        guard now - spokeAt >= Self.patience else { return false }
        spokeAt = now
        return true
    }

    /// Seconds since the relay was last heard, or first listened to.
    func duration(now: Int64) -> Int64 { heardAt.map { now - $0 } ?? 0 }
}
