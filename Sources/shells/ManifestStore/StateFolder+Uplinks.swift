public import EdgeAPI
import NetworkTypes
public import Sodium

/// Where the files of an EdgeNode's uplinks are: what `uplink --config FILE --keys FOLDER` wants.
public struct UplinkFiles: Hashable, Sendable {
    /// The folder for both, `uplinks/<namespace>-<node>`.
    public var folder: String
    /// `config/document.json`.
    public var document: String
    /// The folder of `priv-<ordinal>`.
    public var keys: String
    /// The folder of `tls.crt` and `tls.key`, where the uplinks show a certificate.
    public var clientCertificate: String
}

extension StateFolder {
    public func uplinkFiles(of node: ObjectName) -> UplinkFiles {
        let folder = "\(path)/\(Self.uplinkFolder(node))"
        return UplinkFiles(
            folder: folder, document: "\(folder)/config/document.json", keys: "\(folder)/keys",
            clientCertificate: "\(folder)/client")
    }

    /// Writes the document all uplinks of a node share; the same bytes again change nothing.
    public func writeUplinkDocument(_ bytes: [UInt8], of node: ObjectName) throws(StateError) {
        try claimUplinkFolder(node)
        try write(bytes, to: "\(Self.uplinkFolder(node))/config/document.json")
    }

    /// The uplinks' private keys that there are, by ordinal.
    public func uplinkKeys(of node: ObjectName) throws(StateError) -> [Int: WireGuardPrivateKey] {
        let folder = uplinkFiles(of: node).keys
        var keys: [Int: WireGuardPrivateKey] = [:]
        for name in try Self.names(in: folder) {
            guard name.hasPrefix("priv-"), let ordinal = Int(name.dropFirst(5)), ordinal >= 0, name == "priv-\(ordinal)",
                var text = try Self.read("\(folder)/\(name)")
            else { continue }
            do {
                keys[ordinal] = try WireGuardPrivateKey(consumingBase64: &text)
            } catch {
                throw StateError(.corrupted, "\(folder)/\(name)", "\(error). Put it back, or delete it to have a new key made")
            }
        }
        return keys
    }

    /// Writes the private key of one uplink, as `wg genkey` prints it.
    public func writeUplinkKey(_ key: WireGuardPrivateKey, ordinal: Int, of node: ObjectName) throws(StateError) {
        try claimUplinkFolder(node)
        var text = key.base64File()
        defer { zero(&text) }
        try write(text, to: "\(Self.uplinkFolder(node))/keys/priv-\(ordinal)")
    }

    /// Writes what the node's uplinks show to who asks for a client's certificate; nil deletes what was there.
    public func writeClientCertificate(_ pair: (chain: SecretBytes, key: SecretBytes)?, of node: ObjectName) throws(StateError) {
        let folder = "\(Self.uplinkFolder(node))/client"
        guard let pair else {
            for name in ["tls.crt", "tls.key"] { try remove("\(folder)/\(name)") }
            return
        }
        try claimUplinkFolder(node)
        for (name, bytes) in [("tls.crt", pair.chain), ("tls.key", pair.key)] {
            var contents = bytes.withUnsafeBytes { Array($0) }
            defer { zero(&contents) }
            try write(contents, to: "\(folder)/\(name)")
        }
    }

    /// Deletes the key of an uplink that is no more.
    public func removeUplinkKey(ordinal: Int, of node: ObjectName) throws(StateError) {
        try remove("\(Self.uplinkFolder(node))/keys/priv-\(ordinal)")
    }

    /// Deletes all files of a node's uplinks.
    public func removeUplinks(of node: ObjectName) throws(StateError) {
        // The folder may be another node's, whose name makes the same path.
        guard try uplinkOwner(node) == "\(node)\n" else { return }
        try removeTree(Self.uplinkFolder(node))
    }

    static func uplinkFolder(_ node: ObjectName) -> String { "uplinks/\(node.namespace)-\(node.name)" }

    private func uplinkOwner(_ node: ObjectName) throws(StateError) -> String? {
        try Self.read("\(path)/\(Self.uplinkFolder(node))/owner").map { String(decoding: $0, as: UTF8.self) }
    }

    /// `a-b/c` and `a/b-c` make the same path; the first to come has it.
    private func claimUplinkFolder(_ node: ObjectName) throws(StateError) {
        let folder = Self.uplinkFolder(node)
        guard let owner = try uplinkOwner(node) else { return try write(Array("\(node)\n".utf8), to: "\(folder)/owner") }
        guard owner == "\(node)\n" else {
            throw StateError(
                .nameClash, "\(path)/\(folder)",
                "belongs to EdgeNode \(printable(owner.filter { $0 != "\n" })); rename \(node), whose files would lie there too")
        }
    }
}
