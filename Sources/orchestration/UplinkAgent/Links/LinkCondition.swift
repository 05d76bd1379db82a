import NetworkTypes

/// What an uplink knows of its links.
struct LinkCondition: Equatable, Sendable {
    /// Links that are up.
    var up: [TunnelCarrier: Int] = [:]
    /// Why the last attempt of a carrier came to nothing.
    var troubles: [TunnelCarrier: String] = [:]
    /// Connections and UDP sessions that are open.
    var streams = 0
    var receivedBytes: UInt64 = 0
    var sentBytes: UInt64 = 0
    /// Links that came up since the start.
    var established: UInt64 = 0

    var isUp: Bool { up.contains { $0.value > 0 } }

    /// Why nothing goes by that carrier; nil while something may.
    func trouble(of carrier: TunnelCarrier) -> String? {
        if up[carrier, default: 0] > 0 { return nil }
        return troubles[carrier] ?? "no link is up yet"
    }
}
