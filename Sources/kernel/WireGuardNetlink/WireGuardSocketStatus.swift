import CLibsodium
import NetlinkMessages
import NetworkTypes
import Sodium

extension WireGuardDeviceStatus {
    /// The device from the answer to `WireGuardSocketText.get`.
    ///
    /// Keys this code does not know are passed over: the protocol grows.
    /// - Throws: `MalformedWireGuardText`, or `SodiumError` when a key cannot be kept safe.
    public init(socketText text: [UInt8]) throws {
        self.init()
        for line in try WireGuardSocketText.lines(of: text) {
            switch line.key {
            case "private_key":
                guard publicKey == nil, peers.isEmpty else { throw MalformedWireGuardText("a second private key") }
                publicKey = try Self.publicKey(ofPrivate: line)
            case "listen_port": listenPort = try Self.number(line)
            case "fwmark": firewallMark = try Self.number(line)
            case "public_key":
                guard let key = WireGuardPublicKey(bytes: try Self.bytes(line)) else {
                    throw MalformedWireGuardText("a public key that is not 32 bytes long")
                }
                peers.append(WireGuardPeerStatus(publicKey: key))
            case "preshared_key", "endpoint", "persistent_keepalive_interval", "last_handshake_time_sec", "rx_bytes", "tx_bytes",
                "allowed_ip":
                guard !peers.isEmpty else { throw MalformedWireGuardText("\(line.key) before any public_key") }
                try peers[peers.count - 1].take(line)
            default: break
            }
        }
    }

    fileprivate static func number<Value: FixedWidthInteger>(_ line: WireGuardSocketText.Line) throws(MalformedWireGuardText)
        -> Value
    {
        guard let value = Value(line.value) else { throw MalformedWireGuardText("\(line.key) is no number in range") }
        return value
    }

    fileprivate static func bytes(_ line: WireGuardSocketText.Line) throws(MalformedWireGuardText) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 32)
        guard line.bytes.count == 64, decodeHex(line.bytes, into: &bytes) else {
            zero(&bytes)
            throw MalformedWireGuardText("\(line.key) is not 64 hexadecimal digits")
        }
        return bytes
    }

    /// - Returns: nil for the zeros of a device without a key.
    private static func publicKey(ofPrivate line: WireGuardSocketText.Line) throws -> WireGuardPublicKey? {
        var bytes = try bytes(line)
        defer { zero(&bytes) }
        guard bytes.contains(where: { $0 != 0 }) else { return nil }
        var text = base64(bytes)
        return try WireGuardPrivateKey(consumingBase64: &text).publicKey()
    }
}

extension WireGuardPeerStatus {
    fileprivate mutating func take(_ line: WireGuardSocketText.Line) throws {
        switch line.key {
        case "preshared_key":
            var bytes = try WireGuardDeviceStatus.bytes(line)
            defer { zero(&bytes) }
            presharedKey = bytes.contains { $0 != 0 } ? try SecretBytes(copying: bytes) : nil
        case "endpoint":
            guard let endpoint = WireGuardEndpoint(socketText: line.value) else {
                throw MalformedWireGuardText("endpoint is no address with a port")
            }
            self.endpoint = endpoint
        case "persistent_keepalive_interval": persistentKeepalive = try WireGuardDeviceStatus.number(line)
        case "last_handshake_time_sec":
            let seconds: Int64 = try WireGuardDeviceStatus.number(line)
            lastHandshake = seconds > 0 ? seconds : nil
        case "rx_bytes": receivedBytes = try WireGuardDeviceStatus.number(line)
        case "tx_bytes": sentBytes = try WireGuardDeviceStatus.number(line)
        default:
            guard let prefix = IPPrefix(line.value) else { throw MalformedWireGuardText("allowed_ip is no prefix") }
            allowedIPs.append(prefix)
        }
    }
}

extension WireGuardEndpoint {
    /// `192.0.2.1:51821` or `[fe80::1%eth0]:51821`; the zone is left out.
    init?(socketText text: String) {
        guard let separator = text.lastIndex(of: ":"), let number = UInt16(text[text.index(after: separator)...]) else {
            return nil
        }
        var host = text[..<separator]
        if host.first == "[", host.last == "]" { host = host.dropFirst().dropLast() }
        host = host.prefix { $0 != "%" }
        guard let address = IPAddress(String(host)) else { return nil }
        do throws(InvalidValue) {
            self.init(address: address, port: try Port(number))
        } catch {
            return nil
        }
    }
}

/// libsodium's codecs take the same time for every value.
private func decodeHex(_ text: ArraySlice<UInt8>, into bytes: inout [UInt8]) -> Bool {
    var length = 0
    let capacity = bytes.count
    let result = text.withUnsafeBytes { source in
        sodium_hex2bin(
            &bytes, capacity, source.baseAddress?.assumingMemoryBound(to: CChar.self), source.count, nil, &length, nil)
    }
    return result == 0 && length == capacity
}

private func base64(_ bytes: [UInt8]) -> [UInt8] {
    var text = [CChar](repeating: 0, count: sodium_base64_encoded_len(bytes.count, sodium_base64_VARIANT_ORIGINAL))
    defer { text.withUnsafeMutableBytes { sodium_memzero($0.baseAddress, $0.count) } }
    _ = sodium_bin2base64(&text, text.count, bytes, bytes.count, sodium_base64_VARIANT_ORIGINAL)
    return text.dropLast().map { UInt8(bitPattern: $0) }
}
