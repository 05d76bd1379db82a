import Documents
import KubernetesAPI
import NetworkTypes
import Sodium

/// A field of a kubeconfig with its place, so that whatever is wrong with it can be named.
struct ConfigField: Sendable {
    let file: String
    /// Such as `users[0].user.token`; empty for the document.
    let path: String
    /// Nil when the field is absent or null.
    let node: FieldNode?

    init(file: String, path: String, node: FieldNode?) {
        self.file = file
        self.path = path
        if case .null? = node?.content { self.node = nil } else { self.node = node }
    }

    func fail(_ message: String) -> ClusterAccessError {
        ClusterAccessError(path.isEmpty ? file : "\(file): \(path)", message)
    }

    func child(_ name: String) throws(ClusterAccessError) -> ConfigField {
        var found: FieldNode?
        for entry in try entries() where entry.key == name {
            guard found == nil else { throw fail("\(name) stands twice") }
            found = entry.value
        }
        return ConfigField(file: file, path: path.isEmpty ? name : "\(path).\(name)", node: found)
    }

    func entries() throws(ClusterAccessError) -> [FieldEntry] {
        guard let node else { return [] }
        guard let entries = node.entries else { throw fail("want a mapping") }
        return entries
    }

    func items() throws(ClusterAccessError) -> [ConfigField] {
        guard let node else { return [] }
        guard let items = node.items else { throw fail("want a list") }
        return items.enumerated().map { ConfigField(file: file, path: "\(path)[\($0.offset)]", node: $0.element) }
    }

    /// Nil when it is absent or empty, as client-go takes it.
    func text() throws(ClusterAccessError) -> String? {
        guard let node else { return nil }
        guard let text = node.text else { throw fail("want a text; put it in quotes") }
        return text.isEmpty ? nil : text
    }

    func required() throws(ClusterAccessError) -> String {
        guard let text = try text() else { throw fail("missing") }
        return text
    }

    func flag() throws(ClusterAccessError) -> Bool {
        guard let node else { return false }
        guard let flag = node.bool else { throw fail("want true or false") }
        return flag
    }

    func texts() throws(ClusterAccessError) -> [String] {
        var texts: [String] = []
        for item in try items() {
            guard let text = item.node?.text else { throw item.fail("want a text; put it in quotes") }
            texts.append(text)
        }
        return texts
    }

    /// A path, relative to the kubeconfig's folder.
    func filePath() throws(ClusterAccessError) -> String? { try text().map { resolve($0) } }

    func resolve(_ path: String) -> String {
        if path.hasPrefix("/") { return path }
        guard let slash = file.utf8.lastIndex(of: UInt8(ascii: "/")) else { return path }
        return "\(file[...slash])\(path)"
    }

    func secret() throws(ClusterAccessError) -> SecretBytes? {
        guard let text = try text() else { return nil }
        return try keep(Array(text.utf8))
    }

    /// The bytes of a `…-data` field, base64.
    func data() throws(ClusterAccessError) -> SecretBytes? {
        guard let text = try text() else { return nil }
        // Folded lines are as good to kubectl.
        guard let bytes = decodeBase64(text.filter { !$0.isWhitespace }) else { throw fail("not base64") }
        return try keep(bytes)
    }

    private func keep(_ bytes: [UInt8]) throws(ClusterAccessError) -> SecretBytes {
        var bytes = bytes
        do { return try SecretBytes(consuming: &bytes) } catch { throw fail("\(error)") }
    }
}
