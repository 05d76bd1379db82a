import CLinuxHeaders
public import NetlinkMessages
import NetworkTypes
import Sodium

/// The kernel's WireGuard over generic netlink, as linux/wireguard.h describes it.
public enum WireGuardMessages {
    /// The family's name; resolving it loads the kernel's module where there is one.
    public static let family = WG_GENL_NAME

    /// Bytes of attributes in one message at most; a page, as wireguard-tools keep to.
    static let messageLimit = 4096
    /// Allowed IPs in one fragment of a peer at most: 32 bytes each for IPv6, so a fragment stays under half the limit.
    static let allowedIPsLimit = 60

    /// For `dump`.
    public static func get(_ name: InterfaceName, family: GenericFamily) -> NetlinkMessage {
        family.message(
            UInt8(WG_CMD_GET_DEVICE.rawValue), version: UInt8(WG_GENL_VERSION),
            attributes: NetlinkAttributes { $0.put(.deviceName, string: name.description) },
            description: "WG_CMD_GET_DEVICE \(name)")
    }

    /// The messages of an update, to be sent in this order, each after the one before was acknowledged.
    public static func set(_ update: WireGuardDeviceUpdate, on name: InterfaceName, family: GenericFamily) -> [NetlinkMessage] {
        guard !update.isEmpty else { return [] }
        var messages: [NetlinkMessage] = []
        var peers = NetlinkAttributes()
        func flush() {
            let attributes = NetlinkAttributes { attributes in
                attributes.put(.deviceName, string: name.description)
                if messages.isEmpty { putDevice(update, into: &attributes) }
                if !peers.bytes.isEmpty { attributes.nest(.devicePeers) { $0.append(peers) } }
            }
            messages.append(
                family.message(
                    UInt8(WG_CMD_SET_DEVICE.rawValue), version: UInt8(WG_GENL_VERSION), attributes: attributes,
                    description: "WG_CMD_SET_DEVICE \(name)"))
            peers = NetlinkAttributes()
        }
        for peer in update.peers {
            for fragment in fragments(of: peer) {
                if peers.bytes.count + fragment.bytes.count > messageLimit { flush() }
                peers.append(fragment)
            }
        }
        if messages.isEmpty || !peers.bytes.isEmpty { flush() }
        return messages
    }

    private static func putDevice(_ update: WireGuardDeviceUpdate, into attributes: inout NetlinkAttributes) {
        // Never WGDEVICE_F_REPLACE_PEERS: it would end the sessions of peers that stay.
        if let key = update.privateKey { attributes.put(.devicePrivateKey, secret: key.secret) }
        if let port = update.listenPort { attributes.put(.deviceListenPort, u16: port.number) }
        if let mark = update.firewallMark { attributes.put(.deviceFirewallMark, u32: mark) }
    }

    /// A peer as attributes of the peer list; one with many allowed IPs in several, the first of which says all else.
    private static func fragments(of peer: WireGuardPeerUpdate) -> [NetlinkAttributes] {
        var rest = peer.allowedIPs[...]
        var fragments: [NetlinkAttributes] = []
        repeat {
            let part = rest.prefix(allowedIPsLimit)
            rest = rest.dropFirst(allowedIPsLimit)
            fragments.append(
                NetlinkAttributes { attributes in
                    attributes.nest(.listItem) { item in
                        item.put(.peerPublicKey, bytes: peer.publicKey.bytes)
                        if fragments.isEmpty { putPeer(peer, into: &item) }
                        if !part.isEmpty {
                            item.nest(.peerAllowedIPs) { list in
                                for prefix in part { put(prefix, into: &list) }
                            }
                        }
                    }
                })
        } while !rest.isEmpty
        return fragments
    }

    private static func putPeer(_ peer: WireGuardPeerUpdate, into item: inout NetlinkAttributes) {
        var flags: UInt32 = 0
        switch peer.action {
        case .add: break
        case .update: flags |= WGPEER_F_UPDATE_ONLY.rawValue
        case .remove: flags |= WGPEER_F_REMOVE_ME.rawValue
        }
        if peer.replacesAllowedIPs { flags |= WGPEER_F_REPLACE_ALLOWEDIPS.rawValue }
        if flags != 0 { item.put(.peerFlags, u32: flags) }
        switch peer.presharedKey {
        case .keep: break
        case .set(let key): item.put(.peerPresharedKey, secret: key)
        case .remove: item.put(.peerPresharedKey, bytes: repeatElement(0, count: Int(WG_KEY_LEN)))
        }
        if let endpoint = peer.endpoint { item.put(.peerEndpoint, bytes: endpoint.socketAddress) }
        if let seconds = peer.persistentKeepalive { item.put(.peerPersistentKeepalive, u16: seconds) }
    }

    private static func put(_ prefix: IPPrefix, into list: inout NetlinkAttributes) {
        list.nest(.listItem) { item in
            item.put(.allowedIPFamily, u16: UInt16(prefix.address.family))
            item.put(.allowedIPAddress, bytes: prefix.address.bytes)
            item.put(.allowedIPMask, u8: UInt8(prefix.length))
        }
    }
}

extension WireGuardEndpoint {
    /// `sockaddr_in` or `sockaddr_in6` of netinet/in.h.
    var socketAddress: [UInt8] {
        let family = withUnsafeBytes(of: sa_family_t(address.family)) { Array($0) }
        let port = withUnsafeBytes(of: port.number.bigEndian) { Array($0) }
        switch address {
        case .v4(let address): return family + port + address.bytes + [UInt8](repeating: 0, count: 8)
        case .v6(let address):
            let zeros: [UInt8] = [0, 0, 0, 0]  // flow information before the address, scope after it
            return family + port + zeros + address.bytes + zeros
        }
    }

    /// - Returns: nil for port 0, a short structure or another family.
    init?(socketAddress bytes: ArraySlice<UInt8>) {
        let bytes = Array(bytes)
        guard bytes.count >= 16 else { return nil }
        let family = withUnsafeBytes(of: sa_family_t(AF_INET)) { Array($0) }
        let isV4 = Array(bytes[0..<2]) == family
        let isV6 = Array(bytes[0..<2]) == withUnsafeBytes(of: sa_family_t(AF_INET6)) { Array($0) }
        let number = UInt16(bytes[2]) << 8 | UInt16(bytes[3])
        guard isV4 || (isV6 && bytes.count >= 28),
            let address = IPAddress(bytes: isV4 ? bytes[4..<8] : bytes[8..<24])
        else { return nil }
        do throws(InvalidValue) {
            self.init(address: address, port: try Port(number))
        } catch {
            return nil
        }
    }
}

extension NetlinkAttributeType {
    static let listItem = NetlinkAttributeType(0)

    static let deviceName = NetlinkAttributeType(WGDEVICE_A_IFNAME)
    static let devicePrivateKey = NetlinkAttributeType(WGDEVICE_A_PRIVATE_KEY)
    static let devicePublicKey = NetlinkAttributeType(WGDEVICE_A_PUBLIC_KEY)
    static let deviceListenPort = NetlinkAttributeType(WGDEVICE_A_LISTEN_PORT)
    static let deviceFirewallMark = NetlinkAttributeType(WGDEVICE_A_FWMARK)
    static let devicePeers = NetlinkAttributeType(WGDEVICE_A_PEERS)

    static let peerPublicKey = NetlinkAttributeType(WGPEER_A_PUBLIC_KEY)
    static let peerPresharedKey = NetlinkAttributeType(WGPEER_A_PRESHARED_KEY)
    static let peerFlags = NetlinkAttributeType(WGPEER_A_FLAGS)
    static let peerEndpoint = NetlinkAttributeType(WGPEER_A_ENDPOINT)
    static let peerPersistentKeepalive = NetlinkAttributeType(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL)
    static let peerLastHandshake = NetlinkAttributeType(WGPEER_A_LAST_HANDSHAKE_TIME)
    static let peerReceivedBytes = NetlinkAttributeType(WGPEER_A_RX_BYTES)
    static let peerSentBytes = NetlinkAttributeType(WGPEER_A_TX_BYTES)
    static let peerAllowedIPs = NetlinkAttributeType(WGPEER_A_ALLOWEDIPS)

    static let allowedIPFamily = NetlinkAttributeType(WGALLOWEDIP_A_FAMILY)
    static let allowedIPAddress = NetlinkAttributeType(WGALLOWEDIP_A_IPADDR)
    static let allowedIPMask = NetlinkAttributeType(WGALLOWEDIP_A_CIDR_MASK)
}
