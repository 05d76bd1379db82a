import NetworkTypes

/// One line of a known_hosts file that says something about a key.
struct KnownHostsEntry: Sendable {
    enum Marker: Sendable { case none, revoked }

    enum Reading {
        /// A comment or a blank line.
        case nothing
        case entry(KnownHostsEntry)
        case ignored(String)
        case unreadableRevocation(String)
    }

    let line: Int
    let marker: Marker
    let hosts: HostPattern
    let key: HostKey

    static func read(line text: Substring, number: Int) -> Reading {
        let fields = text.utf8.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: "\r") }
        var words = fields.map { Substring($0) }[...]
        guard let first = words.first, !first.hasPrefix("#") else { return .nothing }
        var marker = Marker.none
        if first.hasPrefix("@") {
            switch first {
            case "@revoked": marker = .revoked
            case "@cert-authority": return .ignored("@cert-authority: host certificates are not supported")
            default: return .ignored("the marker \(printable(String(first), limit: 32)) is not known")
            }
            words = words.dropFirst()
        }
        func unreadable(_ reason: String) -> Reading { marker == .revoked ? .unreadableRevocation(reason) : .ignored(reason) }
        if words.contains(where: { $0.hasPrefix("SHA256:") || $0.hasPrefix("MD5:") }) {
            return unreadable("it is a fingerprint, of which the key cannot be told; want the host, the key type and the key")
        }
        guard words.count >= 3, let host = words.first else {
            return unreadable("want a host, a key type and a key")
        }
        let type = words[words.startIndex + 1]
        guard let blob = decodeBase64(String(words[words.startIndex + 2])), let key = HostKey(blob: blob) else {
            return unreadable("the key is not the base64 of a public key")
        }
        guard key.type == type else {
            return unreadable("it says \(printable(String(type), limit: 32)), but the key is of type \(key.type)")
        }
        do throws(InvalidHostPattern) {
            return .entry(KnownHostsEntry(line: number, marker: marker, hosts: try HostPattern(parsing: host), key: key))
        } catch {
            return unreadable(error.reason)
        }
    }
}
