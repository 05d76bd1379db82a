import NetlinkMessages
import NetworkTypes
import Sodium

/// The configuration protocol of wireguard-go's socket (https://www.wireguard.com/xplatform/), as values.
///
/// Lines of `key=value`, an empty line at the end; keys of WireGuard in hexadecimal.
public enum WireGuardSocketText {
    /// Asks for the device.
    public static let get = Array("get=1\n\n".utf8)

    /// The text of an update. Keys stand in it in the clear: the caller zeroes it after use.
    public static func set(_ update: WireGuardDeviceUpdate) -> [UInt8] {
        var text = LineWriter()
        text.put("set", "1")
        if let key = update.privateKey { text.put("private_key", hexOf: key.secret) }
        if let port = update.listenPort { text.put("listen_port", "\(port)") }
        if let mark = update.firewallMark { text.put("fwmark", "\(mark)") }
        for peer in update.peers {
            text.put("public_key", hex(peer.publicKey.bytes))
            switch peer.action {
            case .remove:
                text.put("remove", "true")
                continue
            case .update: text.put("update_only", "true")
            case .add: break
            }
            switch peer.presharedKey {
            case .keep: break
            case .set(let key): text.put("preshared_key", hexOf: key)
            case .remove: text.put("preshared_key", String(repeating: "0", count: 64))
            }
            if let endpoint = peer.endpoint { text.put("endpoint", "\(endpoint)") }
            if let seconds = peer.persistentKeepalive { text.put("persistent_keepalive_interval", "\(seconds)") }
            if peer.replacesAllowedIPs { text.put("replace_allowed_ips", "true") }
            for prefix in peer.allowedIPs { text.put("allowed_ip", "\(prefix)") }
        }
        text.end()
        return text.bytes
    }

    /// The errno of an answer; 0 is success.
    /// - Throws: `MalformedWireGuardText` when the answer does not end with one.
    public static func errno(in answer: [UInt8]) throws(MalformedWireGuardText) -> Int32 {
        for line in try lines(of: answer) where line.key == "errno" {
            // wireguard-go gives it as a negative number.
            guard let number = Int32(line.value), number != .min else {
                throw MalformedWireGuardText("errno is no number")
            }
            return abs(number)
        }
        throw MalformedWireGuardText("there is no errno")
    }

    /// Whether the text is whole: it ends with an empty line.
    public static func isComplete(_ answer: [UInt8]) -> Bool { answer.suffix(2) == [0x0A, 0x0A] }

    struct Line {
        let key: String
        let bytes: ArraySlice<UInt8>
        var value: String { String(decoding: bytes, as: UTF8.self) }
    }

    static func lines(of text: [UInt8]) throws(MalformedWireGuardText) -> [Line] {
        var lines: [Line] = []
        for line in text.split(separator: 0x0A) {
            guard let separator = line.firstIndex(of: UInt8(ascii: "=")) else {
                throw MalformedWireGuardText("a line without '='")
            }
            let key = String(decoding: line[..<separator], as: UTF8.self)
            lines.append(Line(key: key, bytes: line[line.index(after: separator)...]))
        }
        return lines
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        var text = LineWriter()
        bytes.withUnsafeBytes { text.putHex($0) }
        return String(decoding: text.bytes, as: UTF8.self)
    }
}

/// Text from a wireguard-go socket that the protocol does not allow. Says no values, since some are secret.
public struct MalformedWireGuardText: Error, Hashable, Sendable, CustomStringConvertible {
    public let reason: String
    init(_ reason: String) { self.reason = reason }
    public var description: String { "malformed answer of wireguard-go: \(reason)" }
}

private struct LineWriter {
    var bytes: [UInt8] = []

    mutating func put(_ key: String, _ value: String) {
        bytes.append(contentsOf: "\(key)=\(value)\n".utf8)
    }

    mutating func put(_ key: String, hexOf secret: SecretBytes) {
        bytes.append(contentsOf: "\(key)=".utf8)
        secret.withUnsafeBytes { putHex($0) }
        bytes.append(0x0A)
    }

    mutating func putHex(_ source: UnsafeRawBufferPointer) {
        let digits = Array("0123456789abcdef".utf8)
        for byte in source {
            bytes.append(digits[Int(byte >> 4)])
            bytes.append(digits[Int(byte & 15)])
        }
    }

    mutating func end() { bytes.append(0x0A) }
}
