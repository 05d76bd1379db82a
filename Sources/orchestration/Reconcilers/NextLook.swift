/// When an EdgeNode is looked at again of which nothing tells by itself.
enum NextLook {
    /// What a reconcile left to wait for.
    enum Wait: Equatable, Sendable {
        /// Uplinks or listeners that are coming up, or down.
        case uplinks
        /// All carries, but for targets that do not answer.
        case targets
    }

    /// Where uplinks have a way to fall back on: that they took it shows nowhere else, for all of them stay ready.
    static let atWays: Duration = .seconds(20)

    /// - Parameter looks: how often in a row the same was waited for before this time.
    /// - Parameter hasWays: whether uplinks have several.
    static func after(_ wait: Wait?, looks: Int, hasWays: Bool = false) -> Duration {
        switch wait {
        case nil: hasWays ? atWays : EdgeNodeReconciler.resync
        case _ where looks >= EdgeNodeReconciler.quickLooks: EdgeNodeReconciler.slowSettling
        case .uplinks: EdgeNodeReconciler.settling
        // A target may be gone for days; one that is only a little late is there within seconds. Its uplink takes a second to find it.
        case .targets: min(.seconds(1 << min(looks, 10)), .seconds(3))
        }
    }

    /// The wait before the next try where something named has to come first: 1, 2, 4 seconds, then 8 for two minutes, then longer
    /// up to the resync. What tells by itself that it came (a Secret, say) is not waited for.
    /// - Parameter tries: that failed in a row for the same reason before this one.
    static func retry(_ tries: Int) -> Duration {
        if tries < 3 { return .seconds(1 << max(0, tries)) }
        if tries < 18 { return .seconds(8) }
        return min(.seconds(8 << min(tries - 17, 10)), EdgeNodeReconciler.resync)
    }

    /// The wait before the next try where the VPS turned us away, or runs nothing for us: what a machine that is just being set up lacks
    /// comes within some minutes. Never more than four tries in ten minutes: fail2ban bans at the fifth (its `maxretry`, `findtime`).
    /// - Parameter tries: that failed in a row for the same reason before this one.
    static func refused(_ tries: Int) -> Duration {
        let first: [Duration] = [.seconds(8), .seconds(30), .seconds(120), .seconds(450)]
        return first.indices.contains(tries) ? first[tries] : .seconds(200)
    }

    /// A wrong sudo password: faillock locks the user at the third within a quarter of an hour (`deny`, `fail_interval`). That of the
    /// Secret is tried anew at once when the Secret changes.
    static let wrongPassword: Duration = .seconds(460)

    /// What the message says of it: changes only where the wait becomes longer than the first eight seconds.
    static func words(retryIn wait: Duration) -> String {
        "tried again within \(max(8, wait.components.seconds)) s"
    }
}
