public import NetlinkMessages
public import NetworkTypes
public import Sodium

/// The least that turns a device as it is into what it shall be: what is right already is not sent, so no session of
/// another peer is touched.
public struct WireGuardDeviceUpdate: Equatable, Sendable {
    /// nil: keep.
    public var privateKey: WireGuardPrivateKey?
    public var listenPort: Port?
    public var firewallMark: UInt32?
    /// Removals first, so that their allowed IPs are free.
    public var peers: [WireGuardPeerUpdate] = []
    /// The same for people.
    public private(set) var changes: [WireGuardChange] = []

    public var isEmpty: Bool { privateKey == nil && listenPort == nil && firewallMark == nil && peers.isEmpty }

    /// - Throws: `SodiumError` when the public key cannot be computed.
    public init(from current: WireGuardDeviceStatus, to desired: WireGuardDeviceConfiguration) throws(SodiumError) {
        let publicKey = try desired.privateKey.publicKey()
        if current.publicKey != publicKey {
            privateKey = desired.privateKey
            changes.append(.privateKey(of: publicKey, was: current.publicKey))
        }
        if let port = desired.listenPort, port.number != current.listenPort {
            listenPort = port
            changes.append(.listenPort(port, was: current.listenPort))
        }
        if desired.firewallMark != current.firewallMark {
            firewallMark = desired.firewallMark
            changes.append(.firewallMark(desired.firewallMark, was: current.firewallMark))
        }
        let existing = Dictionary(current.peers.map { ($0.publicKey, $0) }, uniquingKeysWith: { first, _ in first })
        let wanted = Set(desired.peers.map(\.publicKey))
        for peer in current.peers where !wanted.contains(peer.publicKey) {
            peers.append(WireGuardPeerUpdate(removing: peer.publicKey))
            changes.append(.peer(peer.publicKey, .removed))
        }
        for peer in desired.peers {
            if let now = existing[peer.publicKey] {
                let update = WireGuardPeerUpdate(from: now, to: peer)
                guard !update.isEmpty else { continue }
                peers.append(update)
                changes += update.changes(from: now).map { .peer(peer.publicKey, $0) }
            } else {
                peers.append(WireGuardPeerUpdate(adding: peer))
                changes.append(.peer(peer.publicKey, .added(allowedIPs: peer.allowedIPs)))
            }
        }
    }
}

extension WireGuardDeviceUpdate {
    /// Takes peers out and puts them back as they are: their sessions end, and what the device remembers of their handshakes is gone.
    ///
    /// A device takes no handshake whose timestamp is not above that of the last it took from the peer (WireGuard's paper, section
    /// 5.1), whatever became of that session: a peer whose clock was ahead once would be locked out until that time.
    public init(forgetting peers: [WireGuardPeerStatus]) {
        self.peers =
            peers.map { WireGuardPeerUpdate(removing: $0.publicKey) }
            + peers.map { WireGuardPeerUpdate(adding: WireGuardPeerConfiguration(as: $0)) }
    }
}

extension WireGuardPeerConfiguration {
    fileprivate init(as peer: WireGuardPeerStatus) {
        self.init(
            publicKey: peer.publicKey, presharedKey: peer.presharedKey, endpoint: peer.endpoint,
            persistentKeepalive: peer.persistentKeepalive, allowedIPs: peer.allowedIPs)
    }
}

/// The part of an update that concerns one peer.
public struct WireGuardPeerUpdate: Equatable, Sendable {
    public enum Action: Equatable, Sendable {
        case add
        case update
        case remove
    }

    public enum PresharedKey: Equatable, Sendable {
        case keep
        case set(SecretBytes)
        case remove
    }

    public var publicKey: WireGuardPublicKey
    public var action: Action
    public var presharedKey: PresharedKey = .keep
    /// nil: keep.
    public var endpoint: WireGuardEndpoint?
    /// Seconds, 0 is off; nil: keep.
    public var persistentKeepalive: UInt16?
    /// Whether the peer's allowed IPs are dropped before `allowedIPs` are added.
    public var replacesAllowedIPs = false
    public var allowedIPs: [IPPrefix] = []

    init(removing publicKey: WireGuardPublicKey) {
        self.publicKey = publicKey
        action = .remove
    }

    init(adding peer: WireGuardPeerConfiguration) {
        publicKey = peer.publicKey
        action = .add
        if let key = peer.presharedKey { presharedKey = .set(key) }
        endpoint = peer.endpoint ?? peer.lastEndpoint
        if peer.persistentKeepalive != 0 { persistentKeepalive = peer.persistentKeepalive }
        replacesAllowedIPs = true
        allowedIPs = peer.allowedIPs
    }

    init(from current: WireGuardPeerStatus, to desired: WireGuardPeerConfiguration) {
        publicKey = desired.publicKey
        action = .update
        if desired.presharedKey != current.presharedKey { presharedKey = desired.presharedKey.map { .set($0) } ?? .remove }
        if let wanted = desired.endpoint, wanted != current.endpoint { endpoint = wanted }
        if desired.endpoint == nil, current.endpoint == nil { endpoint = desired.lastEndpoint }
        if desired.persistentKeepalive != current.persistentKeepalive { persistentKeepalive = desired.persistentKeepalive }
        let wanted = Set(desired.allowedIPs)
        let present = Set(current.allowedIPs)
        if wanted.isSuperset(of: present) {
            // Adding alone leaves no moment in which the peer's other packets are refused.
            allowedIPs = desired.allowedIPs.filter { !present.contains($0) }
        } else {
            replacesAllowedIPs = true
            allowedIPs = desired.allowedIPs
        }
    }

    var isEmpty: Bool {
        action == .update && presharedKey == .keep && endpoint == nil && persistentKeepalive == nil && !replacesAllowedIPs
            && allowedIPs.isEmpty
    }

    func changes(from current: WireGuardPeerStatus) -> [WireGuardChange.Peer] {
        var changes: [WireGuardChange.Peer] = []
        if presharedKey != .keep { changes.append(.presharedKey) }
        if let endpoint { changes.append(.endpoint(endpoint, was: current.endpoint)) }
        if let persistentKeepalive {
            changes.append(.persistentKeepalive(persistentKeepalive, was: current.persistentKeepalive))
        }
        if replacesAllowedIPs {
            changes.append(.allowedIPs(allowedIPs, were: current.allowedIPs))
        } else if !allowedIPs.isEmpty {
            changes.append(.allowedIPsAdded(allowedIPs))
        }
        return changes
    }
}
