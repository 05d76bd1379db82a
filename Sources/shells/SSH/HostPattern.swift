import CLibssh2
import NetworkTypes
import Sodium

/// The host part of a known_hosts line (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
enum HostPattern: Sendable {
    /// Patterns with `*` and `?`; a `!` before one takes out what it matches. Lower case.
    case list([(isNegated: Bool, glob: [UInt8])])
    /// `|1|salt|hash`: HMAC-SHA1 of the one name it stands for.
    case hashed(salt: [UInt8], hash: [UInt8])

    /// - Throws: the reason as `InvalidHostPattern`.
    init(parsing text: Substring) throws(InvalidHostPattern) {
        if text.utf8.first == UInt8(ascii: "|") {
            let parts = text.split(separator: "|", omittingEmptySubsequences: false)
            guard parts.count == 4, parts[0].isEmpty, parts[1] == "1",
                let salt = decodeBase64(String(parts[2])), let hash = decodeBase64(String(parts[3])),
                salt.count == Self.hashLength, hash.count == Self.hashLength
            else { throw InvalidHostPattern(reason: "the hashed host name is not |1|salt|hash with 20 bytes of base64 each") }
            self = .hashed(salt: salt, hash: hash)
            return
        }
        var patterns: [(isNegated: Bool, glob: [UInt8])] = []
        for part in text.lowercased().split(separator: ",") {
            let isNegated = part.utf8.first == UInt8(ascii: "!")
            let glob = Array(part.utf8.dropFirst(isNegated ? 1 : 0))
            // What match_pattern_list of OpenSSH's match.c holds a pattern in.
            guard glob.count < 1024 else { throw InvalidHostPattern(reason: "a host pattern is longer than 1023 characters") }
            if !glob.isEmpty { patterns.append((isNegated, glob)) }
        }
        guard !patterns.isEmpty else { throw InvalidHostPattern(reason: "the host name is empty") }
        self = .list(patterns)
    }

    /// The length of a SHA-1 digest (FIPS 180-4).
    private static let hashLength = 20

    /// - Parameter name: lower case, as `KnownHosts.name(host:port:)` makes it.
    func matches(_ name: String) -> Bool {
        switch self {
        case .hashed(let salt, let hash): return hmacSHA1(key: salt, text: Array(name.utf8)) == hash
        case .list(let patterns):
            let bytes = Array(name.utf8)
            var isMatched = false
            for pattern in patterns where matchesGlob(pattern.glob, bytes) {
                if pattern.isNegated { return false }
                isMatched = true
            }
            return isMatched
        }
    }
}

struct InvalidHostPattern: Error { let reason: String }

/// `*` stands for any run of characters, `?` for one. At most pattern × text steps, whatever the pattern.
func matchesGlob(_ glob: [UInt8], _ text: [UInt8]) -> Bool {
    let star = UInt8(ascii: "*")
    var position = 0
    var index = 0
    var lastStar: (position: Int, index: Int)?
    while index < text.count {
        if position < glob.count, glob[position] == star {
            lastStar = (position, index)
            position += 1
        } else if position < glob.count, glob[position] == UInt8(ascii: "?") || glob[position] == text[index] {
            position += 1
            index += 1
        } else if let (starPosition, starIndex) = lastStar {
            lastStar = (starPosition, starIndex + 1)
            position = starPosition + 1
            index = starIndex + 1
        } else {
            return false
        }
    }
    return glob[position...].allSatisfy { $0 == star }
}

/// Empty when the crypto library refuses, which then matches nothing.
private func hmacSHA1(key: [UInt8], text: [UInt8]) -> [UInt8] {
    var output = [UInt8](repeating: 0, count: 20)
    return tidegate_hmac_sha1(key, key.count, text, text.count, &output) == 1 ? output : []
}
