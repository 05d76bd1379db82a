public import NetworkTypes
import Sodium

/// A server's public key, as it stands in a known_hosts file and as the server proves it holds it.
public struct HostKey: Hashable, Sendable, CustomStringConvertible {
    /// The key in the format of RFC 4253 (section 6.6): its type's name, then the key itself.
    public let blob: [UInt8]
    /// The type's name out of the blob, such as `ssh-ed25519`.
    public let type: String

    /// - Returns: nil unless `blob` starts with the name of a type and goes on after it.
    public init?(blob: [UInt8]) {
        var reader = WireFormatReader(blob)
        guard let type = reader.name(), !type.isEmpty, type.utf8.count <= 64, !reader.isAtEnd else { return nil }
        self.blob = blob
        self.type = type
    }

    /// - Returns: nil unless it is as `text` is.
    public init?(text: String) {
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 2, let blob = decodeBase64(String(words[1])) else { return nil }
        self.init(blob: blob)
        guard type == words[0] else { return nil }
    }

    /// As OpenSSH writes it in its files: the type and the base64 of the key.
    public var text: String { "\(type) \(encodeBase64(blob))" }

    /// As `ssh-keygen -l` shows it: `SHA256:` and base64 without padding.
    public var fingerprint: String {
        let text = encodeBase64(SHA256.digest(of: blob).bytes)
        return "SHA256:" + text.prefix { $0 != "=" }
    }

    /// The line that pins this key for `host` in a known_hosts file.
    public func knownHostsLine(host: HostAddress, port: Port) -> String {
        "\(KnownHosts.name(host: host, port: port)) \(text)"
    }

    public var description: String { "\(type) \(fingerprint)" }
}
