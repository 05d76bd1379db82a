import NodeDocument

/// What the uplinks have put right by themselves between two looks at them; one that was not seen before tells nothing.
func uplinkRepairs(_ peers: [PeerReport], before: [PeerReport]) -> [String] {
    peers.compactMap { peer in
        guard let now = peer.uplink, let count = now.repairs, let words = now.lastRepair,
            let former = before.first(where: { $0.ordinal == peer.ordinal })?.uplink?.repairs, count != former
        else { return nil }
        return "uplink \(peer.ordinal) put right by itself what others had changed: \(words)"
    }
}
