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
    /// Bytes that the path carries where that is less than the document's MTU; nil otherwise.
    private(set) var pathMTU: Int?

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
            forward.targets.lazy.compactMap {
                TargetPolicy().obstacle(
                    to: $0.address, forward.protocol, $0.port, network: document.content.network,
                    edge: document.content.relay.host.ipv4)
            }.first.map { Refused(forward: forward, reason: $0) }
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
    }

    /// Bytes.
    var mtu: Int { min(content.mtu, pathMTU ?? .max) }

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
