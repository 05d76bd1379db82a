import EdgeAPI
import NetworkTypes
import NodeDocument
import Planning
import Sodium

/// The uplinks' documents before the present one that some uplink may still hold, and which bindings are not the same any more.
///
/// A change of one binding makes a new document for all. Until each uplink has taken it up, one that holds a former document
/// carries every binding that is the same in both, and only the others are to wait.
struct FormerDocuments: Equatable, Sendable {
    struct Document: Equatable, Sendable {
        var hash: SHA256Digest
        /// Bindings that it lacks, or has otherwise.
        var changed: Set<BindingID>
    }

    /// Documents that are remembered; an uplink that is further behind carries nothing that is known.
    static let most = 8

    /// The newest last.
    private(set) var documents: [Document] = []

    init() {}

    /// What follows when `now` comes after `before`; nothing is former where the tunnel itself is another.
    init(before: NodeOutcome, now: NodeOutcome) {
        guard before.tunnel == now.tunnel else { return }
        documents = before.formers.documents
        if let hash = before.uplinkHash, hash != now.uplinkHash {
            documents.removeAll { $0.hash == hash }
            documents.append(Document(hash: hash, changed: []))
        }
        documents.removeAll { $0.hash == now.uplinkHash }
        documents = Array(documents.suffix(Self.most))
        guard !documents.isEmpty, before.uplinkHash != now.uplinkHash else { return }
        let known = Dictionary(before.plan.planned.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        let changed = now.plan.planned.filter { $0.forwarding != known[$0.id]?.forwarding }.map(\.id)
        for position in documents.indices { documents[position].changed.formUnion(changed) }
    }

    /// Whether an uplink that holds the document of that hash carries the binding as it is wanted now.
    func carry(_ binding: BindingID, _ hash: SHA256Digest?) -> Bool {
        documents.contains { $0.hash == hash && !$0.changed.contains(binding) }
    }
}

/// What of a binding concerns the uplinks.
private struct Forwarding: Equatable {
    var listener: String
    var tunnelPort: UInt16
    var target: String
}

extension PlannedBinding {
    fileprivate var forwarding: Forwarding {
        // An uplink that knows other endpoints of the same Service carries it too.
        Forwarding(listener: listener, tunnelPort: tunnelPort.number, target: isSpread ? "endpoints" : targetText)
    }
}

/// What of a node must stay for an uplink with a former document to be reached.
struct TunnelIdentity: Equatable {
    var relayKey: String?
    var address: String
    var wireGuard: RelayWireGuard
    /// Keys and addresses of the uplinks by ordinal are compared only where both have them.
    var peers: [Int: RelayPeer]

    static func == (a: Self, b: Self) -> Bool {
        a.relayKey == b.relayKey && a.address == b.address && a.wireGuard == b.wireGuard
            && a.peers.allSatisfy { b.peers[$0.key] == nil || b.peers[$0.key] == $0.value }
    }
}

extension NodeOutcome {
    fileprivate var tunnel: TunnelIdentity {
        var wireGuard = plan.relay.wireGuard
        let peers = wireGuard.peers
        wireGuard.peers = []
        return TunnelIdentity(
            relayKey: relayPublicKey?.description, address: "\(node.spec.address)", wireGuard: wireGuard,
            peers: Dictionary(peers.map { ($0.ordinal, $0) }, uniquingKeysWith: { first, _ in first }))
    }
}
