import NFTables
import NetlinkMessages
import NetworkTypes
import NodeDocument
import Sodium
import WireGuardNetlink

/// What of a document concerns one uplink, with its key: all that its host shall be.
struct UplinkPart: Equatable, Sendable {
    struct Refused: Equatable, Sendable {
        var forward: Forward
        var reason: String
    }

    let ordinal: Int
    let hash: SHA256Digest
    /// Without the forwards that `refused` names.
    let content: UplinkContent
    /// Forwards to where none may lead, whoever wrote them, with the reason: they are left out, and the others are served.
    let refused: [Refused]
    let address: IPv4Address
    /// The address with the network's prefix length.
    let prefix: IPPrefix
    let privateKey: WireGuardPrivateKey
    /// Nil where WireGuard alone carries.
    let links: LinkDemand?
    /// Bytes that the path carries where that is less than the document's MTU; nil otherwise.
    private(set) var pathMTU: Int?
    /// Where this process takes what is for hosts, at the uplink's address.
    private(set) var hostPorts: [ForwardKey: Port] = [:]

    /// - Throws: `notListed`, or `keyInvalid` when the key is not the one the relay will know.
    init(of document: UplinkDocument, ordinal: Int, privateKey: WireGuardPrivateKey, keyPath: String) throws(UplinkError) {
        guard let replica = document.content.replicas.first(where: { $0.ordinal == ordinal }) else {
            throw .notListed(ordinal: ordinal)
        }
        let publicKey: WireGuardPublicKey
        do throws(SodiumError) {
            publicKey = try privateKey.publicKey()
        } catch {
            throw .keyInvalid(path: keyPath, reason: "\(error)")
        }
        guard publicKey == replica.publicKey else {
            throw .keyInvalid(
                path: keyPath,
                reason: "its public key is \(publicKey), but the document says \(replica.publicKey) for replica \(ordinal); "
                    + "both are written by the controller: wait for it, or look at its log")
        }
        self.ordinal = ordinal
        hash = document.hash
        var content = document.content
        let refused = content.forwards.compactMap { forward in
            Self.obstacle(to: forward, content).map { Refused(forward: forward, reason: $0) }
        }
        if !refused.isEmpty {
            let gone = Set(refused.map(\.forward))
            content.forwards.removeAll { gone.contains($0) }
        }
        self.content = content
        self.refused = refused
        address = replica.address
        do throws(InvalidValue) {
            prefix = try IPPrefix(.v4(replica.address), length: document.content.network.prefixLength)
        } catch {
            throw .documentInvalid(path: "", reason: "content.network: \(error)")
        }
        self.privateKey = privateKey
        links = try document.content.link.map { link throws(UplinkError) in try LinkDemand(link, key: privateKey) }
    }

    /// Why the forward may not lead where it does; nil where it may.
    private static func obstacle(to forward: Forward, _ content: UplinkContent) -> String? {
        if let host = content.host(of: forward) { return host.obstacle }
        let edges = [content.relay.host.ipv4, content.link?.host.ipv4]
        for target in forward.targets {
            for edge in edges {
                let obstacle = TargetPolicy().obstacle(
                    to: target.address, forward.protocol, target.port, network: content.hasWireGuard ? content.network : nil,
                    edge: edge)
                if let obstacle { return obstacle }
            }
        }
        return nil
    }

    /// All ways by which it is to be connected, best first.
    var ways: [TunnelCarrier] { content.link?.carriers ?? [.wireGuard] }

    /// Bytes.
    var mtu: Int { min(content.mtu, pathMTU ?? .max) }

    func with(hostPorts: [ForwardKey: Port]) -> UplinkPart {
        var result = self
        result.hostPorts = hostPorts
        return result
    }

    func with(pathMTU: Int?) -> UplinkPart {
        var result = self
        result.pathMTU = pathMTU
        return result
    }

    /// Seconds; WireGuard's usual value, until there is a handshake.
    private static let dialingKeepalive = 25

    var relayPublicKey: WireGuardPublicKey { content.relay.publicKey }

    /// - Parameter endpoint: where the relay is dialed; nil leaves what the device has, which may have roamed.
    func wireGuard(endpoint: WireGuardEndpoint?) -> WireGuardDeviceConfiguration {
        // The relay cannot dial, so somebody must send the first packet even where no keepalive is wanted.
        let keepalive = content.persistentKeepalive == 0 && endpoint != nil ? Self.dialingKeepalive : content.persistentKeepalive
        let relay = WireGuardPeerConfiguration(
            publicKey: relayPublicKey, endpoint: endpoint, persistentKeepalive: UInt16(clamping: keepalive),
            // The relay alone: no uplink sends through the VPS to another.
            allowedIPs: [IPPrefix(host: .v4(content.relay.address))])
        return WireGuardDeviceConfiguration(privateKey: privateKey, listenPort: nil, peers: [relay])
    }

    func ruleset(bridge: UplinkRuleset.BridgeScope, forwardsNothingElse: Bool) -> UplinkRuleset {
        var forwards: Forwards = [:]
        var spreads: Spreads = [:]
        for forward in content.forwards {
            let key = ForwardKey(forward.protocol, forward.tunnelPort)
            guard forwards[key] == nil, spreads[key] == nil else { continue }
            if forward.host != nil {
                if let port = hostPorts[key] { forwards[key] = ForwardTarget(address, port) }
                continue
            }
            let targets = forward.targets.map { ForwardTarget($0.address, $0.port) }
            if targets.count == 1 { forwards[key] = targets[0] } else { spreads[key] = targets }
        }
        return UplinkRuleset(
            interface: UplinkContent.interface, address: address, relay: content.relay.address, bridge: bridge,
            forwardsNothingElse: forwardsNothingElse, forwards: forwards, spreads: spreads)
    }
}

extension UplinkSettings {
    var bridge: UplinkRuleset.BridgeScope {
        if bridgeAddresses.isEmpty { return .off }
        return bridgeAddresses.contains { $0.isAny } ? .everyAddress : .addresses(bridgeAddresses)
    }
}
