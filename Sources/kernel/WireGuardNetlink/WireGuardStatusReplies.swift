import CLinuxHeaders
public import NetlinkMessages
import NetworkTypes
import Sodium

extension WireGuardDeviceStatus {
    /// The device from every answer to `WireGuardMessages.get`. Peers and allowed IPs that the kernel spread over several
    /// messages are put together again.
    /// - Throws: `MalformedNetlink`, or `SodiumError` when a preshared key cannot be kept safe.
    public init(_ replies: [NetlinkReply]) throws {
        self.init()
        for reply in replies {
            let attributes = try reply.attributes(after: genlmsghdr.self)
            if let key = attributes[.devicePublicKey] {
                let isUnset = key.payload.allSatisfy { $0 == 0 }
                publicKey = isUnset ? nil : try Self.publicKey(key)
            }
            if let port = try attributes[.deviceListenPort]?.u16() { listenPort = port }
            if let mark = try attributes[.deviceFirewallMark]?.u32() { firewallMark = mark }
            guard let list = try attributes[.devicePeers]?.nested() else { continue }
            for item in list {
                let item = try item.nested()
                guard let keyAttribute = item[.peerPublicKey] else { throw MalformedNetlink("a peer without a public key") }
                let key = try Self.publicKey(keyAttribute)
                if peers.last?.publicKey != key { peers.append(try WireGuardPeerStatus(publicKey: key, item)) }
                let ranges = try Self.allowedIPs(item)
                peers[peers.count - 1].allowedIPs += ranges
            }
        }
    }

    private static func publicKey(_ attribute: ParsedAttribute) throws(MalformedNetlink) -> WireGuardPublicKey {
        guard let key = WireGuardPublicKey(bytes: attribute.payload) else {
            throw MalformedNetlink("a WireGuard key of \(attribute.payload.count) bytes")
        }
        return key
    }

    private static func allowedIPs(_ peer: ParsedAttributes) throws(MalformedNetlink) -> [IPPrefix] {
        guard let list = try peer[.peerAllowedIPs]?.nested() else { return [] }
        var prefixes: [IPPrefix] = []
        for item in list {
            let item = try item.nested()
            guard let address = item[.allowedIPAddress].flatMap({ IPAddress(bytes: $0.payload) }),
                let length = try item[.allowedIPMask]?.u8()
            else { throw MalformedNetlink("an allowed IP without address or mask") }
            do throws(InvalidValue) {
                prefixes.append(try IPPrefix(address, length: Int(length)))
            } catch {
                throw MalformedNetlink("\(error)")
            }
        }
        return prefixes
    }
}

extension WireGuardPeerStatus {
    fileprivate init(publicKey: WireGuardPublicKey, _ item: ParsedAttributes) throws {
        self.init(publicKey: publicKey)
        if let key = item[.peerPresharedKey], key.payload.contains(where: { $0 != 0 }) {
            presharedKey = try SecretBytes(copying: key.payload)
        }
        endpoint = item[.peerEndpoint].flatMap { WireGuardEndpoint(socketAddress: $0.payload) }
        persistentKeepalive = try item[.peerPersistentKeepalive]?.u16() ?? 0
        // A __kernel_timespec: seconds, then nanoseconds; both zero before the first handshake.
        if let time = try item[.peerLastHandshake]?.structure(as: Int64.self), time > 0 { lastHandshake = time }
        receivedBytes = try item[.peerReceivedBytes]?.u64() ?? 0
        sentBytes = try item[.peerSentBytes]?.u64() ?? 0
    }
}
