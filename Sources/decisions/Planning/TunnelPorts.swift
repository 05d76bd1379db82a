import EdgeAPI
import NetworkTypes

/// The port at an uplink's tunnel address that stands for a binding.
///
/// A binding that has its listenPort for itself keeps that number, so that a packet capture in the tunnel reads like one outside.
/// Those that share a listenPort by hostname get a port from their own identity, so that neighbours that come and go do not move
/// them: in 20000…59999, the next free one where two meet. So do all where links carry.
struct TunnelPorts {
    private static let range = 20_000..<60_000
    /// By taken place in the range, one after it that may be free; the end of the range is no place. Whoever chooses names chooses where
    /// they meet, so a crowd in one place must not be walked through again and again.
    private var next: [Int: Int] = [:]

    /// - Parameter whole: the listenPorts that no binding may get: the TCP ones of the bindings that do not share theirs, or all.
    init(whole: some Sequence<Port>) {
        for port in whole { take(port) }
        take(.uplinkReadiness)
        take(.envoyBridge)
    }

    private mutating func take(_ port: Port) {
        let place = Int(port.number) - Self.range.lowerBound
        if (0..<Self.range.count).contains(place), next[place] == nil { next[place] = place + 1 }
    }

    /// The first free place from `place` on; the end of the range when there is none.
    private mutating func free(from place: Int) -> Int {
        var end = place
        while let further = next[end] { end = further }
        var here = place
        while let further = next[here] {
            next[here] = end
            here = further
        }
        return end
    }

    /// - Returns: nil when all 40,000 are taken.
    mutating func assign(_ id: BindingID) -> Port? {
        if next.count == Self.range.count { return nil }
        let start = Int(stableHash("\(id.owner.namespace)/\(id.owner.name)/\(id.name)") % UInt64(Self.range.count))
        var place = free(from: start)
        if place == Self.range.count { place = free(from: 0) }
        next[place] = place + 1
        return try? Port(Self.range.lowerBound + place)
    }
}

/// FNV-1a, 64 bits (draft-eastlake-fnv): stable between runs, which Swift's own hashing is not.
func stableHash(_ text: String) -> UInt64 {
    text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}
