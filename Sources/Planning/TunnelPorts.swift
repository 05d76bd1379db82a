import EdgeAPI
import NetworkTypes

/// The port at an uplink's tunnel address that stands for a binding.
///
/// A binding that has its listenPort for itself keeps that number, so that a packet capture in the tunnel reads like one outside.
/// Those that share a listenPort by hostname get a port from their own identity, so that neighbours that come and go do not move
/// them: in 20000…59999, the next free one where two meet.
struct TunnelPorts {
    private var taken: Set<Port> = [.uplinkReadiness, .envoyBridge]

    /// - Parameter whole: the TCP listenPorts of the bindings that do not share theirs.
    init(whole: some Sequence<Port>) { taken.formUnion(whole) }

    /// - Returns: nil when all 40,000 are taken.
    mutating func assign(_ id: BindingID) -> Port? {
        let start = stableHash("\(id.owner.namespace)/\(id.owner.name)/\(id.name)") % 40000
        for step in 0..<40000 {
            guard let port = try? Port(20000 + (start + UInt64(step)) % 40000) else { continue }
            if taken.insert(port).inserted { return port }
        }
        return nil
    }
}

/// FNV-1a, 64 bits (draft-eastlake-fnv): stable between runs, which Swift's own hashing is not.
func stableHash(_ text: String) -> UInt64 {
    text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}
