public import NetworkTypes

/// The host keys somebody vouches for, in OpenSSH's known_hosts format.
///
/// The rules are OpenSSH's, with two differences on the safe side: a bare host never answers for a port other than 22,
/// and a `@revoked` line that cannot be read is an error, for skipping it would trust what it revokes.
public struct KnownHosts: Sendable {
    /// What a known_hosts file says about a key.
    public enum Verdict: Equatable, Sendable {
        /// The line vouches for this key.
        case trusted(line: Int)
        /// No line names this host.
        case unknown
        /// Lines name this host, all with other keys.
        case mismatch(pinned: [PinnedKey])
        /// The line revokes this key for this host; it outweighs any that vouches for it.
        case revoked(line: Int)
    }

    /// A key as one line vouches for it.
    public struct PinnedKey: Equatable, Sendable {
        public let key: HostKey
        /// Counted from 1.
        public let line: Int
    }

    /// A line nothing was learned from.
    public struct IgnoredLine: Equatable, Sendable {
        /// Counted from 1.
        public let line: Int
        public let reason: String
    }

    /// Lines that stand for no key: certificate authorities, whose certificates are not supported, and damaged ones.
    /// The first of them: a message names few, and a text may have nothing else.
    public let ignoredLines: [IgnoredLine]
    private static let mostIgnored = 32
    private let entries: [KnownHostsEntry]
    /// Whether no line says anything about a key.
    public var isEmpty: Bool { entries.isEmpty }

    /// - Throws: `InvalidValue` for a `@revoked` line that cannot be read. Other such lines are in `ignoredLines`.
    public init(parsing text: String) throws(InvalidValue) {
        var entries: [KnownHostsEntry] = []
        var ignored: [IgnoredLine] = []
        // Bytes, because "\r\n" is one Character.
        var rest = text.utf8[...]
        var number = 0
        while !rest.isEmpty {
            number += 1
            let line = rest.prefix { $0 != UInt8(ascii: "\n") }
            rest = rest[line.endIndex...].dropFirst()
            switch KnownHostsEntry.read(line: Substring(line), number: number) {
            case .nothing: break
            case .entry(let entry): entries.append(entry)
            case .ignored(let reason):
                if ignored.count < Self.mostIgnored { ignored.append(IgnoredLine(line: number, reason: reason)) }
            case .unreadableRevocation(let reason):
                throw InvalidValue(
                    expected: "known_hosts file", given: "line \(number)",
                    reason: "it revokes a key but cannot be read: \(reason); mend or remove it")
            }
        }
        self.entries = entries
        ignoredLines = ignored
    }

    /// Whether the file vouches for `key` as the key of `host`.
    public func check(host: HostAddress, port: Port, key: HostKey) -> Verdict {
        let matching = matching(host: host, port: port)
        if let revoked = matching.first(where: { $0.marker == .revoked && $0.key == key }) { return .revoked(line: revoked.line) }
        let pinned = matching.filter { $0.marker == .none }
        if let trusted = pinned.first(where: { $0.key == key }) { return .trusted(line: trusted.line) }
        return pinned.isEmpty ? .unknown : .mismatch(pinned: pinned.map { PinnedKey(key: $0.key, line: $0.line) })
    }

    /// The types of the keys vouched for, in the order of the file: what to ask the server for first, so that a pinned
    /// ed25519 key does not fail because the server also has an ECDSA key.
    public func keyTypes(host: HostAddress, port: Port) -> [String] {
        var types: [String] = []
        for entry in matching(host: host, port: port) where entry.marker == .none && !types.contains(entry.key.type) {
            types.append(entry.key.type)
        }
        return types
    }

    private func matching(host: HostAddress, port: Port) -> [KnownHostsEntry] {
        let name = Self.name(host: host, port: port)
        return entries.filter { $0.hosts.matches(name) }
    }

    /// The name a known_hosts file knows a host by: bare on port 22, `[host]:port` on any other.
    static func name(host: HostAddress, port: Port) -> String { port == .ssh ? "\(host)" : "[\(host)]:\(port)" }
}
