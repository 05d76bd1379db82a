public import EdgeAPI
import Glibc
public import Sodium
public import Syscalls

/// The uplinks elsewhere that joined, in a state folder whose controller may be running: it reads what is written here, and writes none of it.
///
/// `handover.key` is what documents are sealed with; `joined/<ordinal>` beside an EdgeNode's uplinks' files says when the token of an uplink
/// was shown. All calls block on the file system.
public struct JoinDesk: Sendable {
    private let path: String

    /// - Parameter path: of the state folder.
    public init(path: String) { self.path = path }

    /// The document that the node's uplinks share; nil before the VPS was enrolled.
    public func document(of node: ObjectName) throws(StateError) -> [UInt8]? {
        try StateFolder.read("\(folder(node))/config/document.json")
    }

    /// When the token of each uplink was shown, RFC 3339, by ordinal.
    public func joined(_ node: ObjectName) throws(StateError) -> [Int: String] {
        var joined: [Int: String] = [:]
        for name in try StateFolder.names(in: "\(folder(node))/joined") {
            guard let ordinal = Int(name), let text = try StateFolder.read("\(folder(node))/joined/\(name)") else { continue }
            joined[ordinal] = String(decoding: text.prefix { $0 != 0x0A }, as: UTF8.self)
        }
        return joined
    }

    /// The key of an uplink; nil before the controller made it.
    public func key(ordinal: Int, of node: ObjectName) throws(StateError) -> WireGuardPrivateKey? {
        let file = keyFile(ordinal, node)
        guard var text = try StateFolder.read(file) else { return nil }
        do {
            return try WireGuardPrivateKey(consumingBase64: &text)
        } catch {
            throw StateError(.corrupted, file, "\(error). Put it back, or delete it to have a new key made")
        }
    }

    /// Replaces the key of an uplink: the controller takes the former's rights away.
    public func replaceKey(ordinal: Int, of node: ObjectName) throws(StateError) -> WireGuardPrivateKey {
        let key = try sodium(WireGuardPrivateKey.generate)
        var text = key.base64File()
        defer { zero(&text) }
        try write(text, to: keyFile(ordinal, node))
        return key
    }

    /// Notes that the token of an uplink was shown; from then on the node's documents are handed over.
    public func note(ordinal: Int, of node: ObjectName, at time: String) throws(StateError) {
        try makeFolder(node)
        try write(Array("\(time)\n".utf8), to: "\(folder(node))/joined/\(ordinal)")
    }

    public func forget(ordinal: Int, of node: ObjectName) throws(StateError) {
        do throws(FileFailure) {
            try AtomicFile.remove("\(folder(node))/joined/\(ordinal)")
        } catch {
            throw StateError(error)
        }
    }

    /// Runs `body` while no other command changes the node's uplinks.
    public func alone<Result>(with node: ObjectName, _ body: () throws -> Result) throws -> Result {
        try makeFolder(node)
        let place = "\(folder(node))/joined"
        let lock: Descriptor
        do throws(FileFailure) {
            lock = try onFile(place) { () throws(SystemFailure) in try Descriptor.open(place, O_RDONLY | O_DIRECTORY) }
            try onFile(place, "lock") { () throws(SystemFailure) in try calling("flock") { flock(lock.number, LOCK_EX) } }
        } catch {
            throw StateError(error)
        }
        defer { withExtendedLifetime(lock) {} }
        return try body()
    }

    /// What the installation seals with; nil before an uplink joined.
    public func handoverKey() throws(StateError) -> HandoverKey? {
        let file = "\(path)/handover.key"
        guard var bytes = try StateFolder.read(file) else { return nil }
        guard let secret = try? SecretBytes(consuming: &bytes), let key = HandoverKey(secret: secret) else {
            throw StateError(
                .corrupted, file,
                "want \(HandoverKey.size) bytes; put it back, or delete it and let every uplink elsewhere join again (--renew)")
        }
        return key
    }

    public func makeHandoverKey() throws(StateError) -> HandoverKey {
        if let key = try handoverKey() { return key }
        let key = try sodium(HandoverKey.generate)
        var bytes = key.secret.withUnsafeBytes { Array($0) }
        defer { zero(&bytes) }
        try write(bytes, to: "\(path)/handover.key")
        return key
    }

    /// Another whenever a token was shown or taken back; nil before the first.
    public func stamp(of node: ObjectName) -> FileStamp? {
        ((try? fileStatus(at: "\(folder(node))/joined")) ?? nil).map(FileStamp.init)
    }

    private func sodium<Key>(_ generate: () throws(SodiumError) -> Key) throws(StateError) -> Key {
        do throws(SodiumError) { return try generate() } catch { throw StateError(.system, path, "\(error)") }
    }

    private func folder(_ node: ObjectName) -> String { "\(path)/\(StateFolder.uplinkFolder(node))" }
    private func keyFile(_ ordinal: Int, _ node: ObjectName) -> String { "\(folder(node))/keys/priv-\(ordinal)" }

    private func makeFolder(_ node: ObjectName) throws(StateError) {
        do throws(FileFailure) { try AtomicFile.makeFolder("\(folder(node))/joined") } catch { throw StateError(error) }
    }

    private func write(_ bytes: [UInt8], to file: String) throws(StateError) {
        do throws(FileFailure) { try AtomicFile.write(bytes, to: file) } catch { throw StateError(error) }
    }
}

extension StateFolder {
    public var joinDesk: JoinDesk { JoinDesk(path: path) }

    /// The number of a document that is handed over: the same for the same hash, and higher for each other one. It is on the disk before it is
    /// returned.
    public func handoverSequence(of node: ObjectName, hash: SHA256Digest) throws(StateError) -> UInt64 {
        let name = "\(Self.uplinkFolder(node))/handed"
        var last: UInt64 = 0
        if let bytes = try Self.read("\(path)/\(name)") {
            let parts = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
            guard parts.count == 2, let number = UInt64(parts[1]), number < .max else {
                throw StateError(
                    .corrupted, "\(path)/\(name)",
                    "want a hash and a number; write one in that is higher than any before, after 64 zeros")
            }
            if parts[0] == hash.description { return number }
            last = number
        }
        try write(Array("\(hash) \(last + 1)\n".utf8), to: name)
        return last + 1
    }
}
