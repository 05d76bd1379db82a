import Glibc
import NetworkTypes
import NodeDocument
import RemoteDocuments
import Sodium
import Syscalls

/// The Secret that the controller writes for a gateway, as its pod has it mounted.
struct GatewayFolder: Sendable {
    let path: String

    /// Bytes; a Secret holds at most 1 MiB.
    private static let longest = 1 << 20
    private static let longestWord = 1024

    /// - Throws: `GatewayError` that names the file.
    func read() throws(GatewayError) -> GatewayConfiguration {
        let json = try bytes(of: GatewayDocument.fileName, Self.longest)
        let document: GatewayDocument
        do throws(DocumentError) {
            document = try DocumentJSON.decode(GatewayDocument.self, from: json)
        } catch {
            throw fault(GatewayDocument.fileName, error.message)
        }
        if let reason = document.fault { throw fault(GatewayDocument.fileName, reason) }
        var seed = try bytes(of: GatewayDocument.keyName, Self.longestWord)
        defer { zero(&seed) }
        guard let secret = try? SecretBytes(consuming: &seed), let key = LinkPrivateKey(secret: secret) else {
            throw fault(GatewayDocument.keyName, "want \(LinkPrivateKey.size) bytes")
        }
        let password = try word(GatewayDocument.passwordName)
        let path = try word(GatewayDocument.pathName)
        guard path.hasPrefix("/") else { throw fault(GatewayDocument.pathName, "want a path") }
        return GatewayConfiguration(document: document, key: key, password: password, path: path)
    }

    private func word(_ name: String) throws(GatewayError) -> String {
        let text = String(decoding: try bytes(of: name, Self.longestWord), as: UTF8.self)
        guard Self.isWord(text) else { throw fault(name, "want 16 visible characters at least") }
        return text
    }

    static func isWord(_ text: String) -> Bool {
        text.utf8.count >= 16 && text.utf8.count <= longestWord && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }

    private func bytes(of name: String, _ limit: Int) throws(GatewayError) -> [UInt8] {
        do throws(SystemFailure) {
            return try Descriptor.contents(of: "\(path)/\(name)", limit: limit)
        } catch {
            throw fault(name, error.code == EFBIG ? "it has more than \(limit) bytes" : error.reason)
        }
    }

    private func fault(_ name: String, _ reason: String) -> GatewayError {
        GatewayError(description: "\(path)/\(name): \(reason)")
    }
}

/// What is served.
struct GatewayConfiguration: Equatable, Sendable {
    var document: GatewayDocument
    var key: LinkPrivateKey
    /// Of clients of wstunnel and rathole.
    var password: String
    /// Of links' WebSockets.
    var path: String

    func takes(_ client: RemoteClientKind) -> Bool { document.clients.contains(client) }
}

/// Why a gateway cannot serve, in words.
struct GatewayError: Error, CustomStringConvertible {
    let description: String
}

extension ResolverSettings {
    /// How this pod resolves names, which is as the cluster wants it; nil where it does not say.
    static var ofThisHost: ResolverSettings? {
        guard let text = try? Descriptor.contents(of: "/etc/resolv.conf", limit: 64 << 10) else { return nil }
        return ResolverSettings(text: String(decoding: text, as: UTF8.self))
    }
}
