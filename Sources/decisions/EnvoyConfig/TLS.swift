public import JSON
import NetworkTypes
import NodeDocument
import Sodium

/// A secret as Envoy discovers it, for `./sds/NAME.json`, and the files it refers to. It holds no key.
public struct TLSSecret: Hashable, Sendable {
    /// The binding's name or the links', or that with `.ca` for the CA of its clients.
    public let name: String
    /// A `Secret` of Envoy, without the `@type` that a DiscoveryResponse wants.
    public let resource: FieldValue
    public let files: [TLSFile]
    let isAuthority: Bool
}

/// A certificate chain, key or CA as a file of its own under `./tls/`, named after its content.
public struct TLSFile: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    /// `NAME-HASH.crt`, `.key` or `.ca`.
    public let name: String
    /// PEM.
    public let contents: String

    public var description: String { "TLSFile(\(name), \(contents.utf8.count) bytes)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

private func authorityName(_ name: String) -> String { "\(name).ca" }

/// The certificate, and for mode mutual the CA; none where TLS does not end at the edge, or the document does not have them.
/// - Parameter owner: the binding's name, or the links'.
func tlsSecrets(_ owner: String, _ tls: RelayTLS?) -> [TLSSecret] {
    guard let mode = tls?.mode, let material = tls?.material else { return [] }
    var secrets: [TLSSecret] = []
    func add(_ name: String, _ kind: String, _ value: FieldValue, _ files: [TLSFile]) {
        secrets.append(
            TLSSecret(
                name: name, resource: ["name": .string(name), kind: value], files: files,
                isAuthority: kind == "validation_context"))
    }
    switch mode {
    case .passthrough: return []
    case .offload, .mutual:
        // One hash for the pair: a certificate renewed for the same key still gets a new pair of files.
        let hash = contentHash(material.certificateChain + "\n", material.privateKey)
        let chain = TLSFile(name: "\(owner)-\(hash).crt", contents: material.certificateChain)
        let key = TLSFile(
            name: "\(owner)-\(hash).key",
            contents: material.privateKey.withUnsafeBytes { String(decoding: $0, as: UTF8.self) })
        add(
            owner, "tls_certificate",
            [
                "certificate_chain": ["filename": .string(EnvoyPath.tls(chain.name))],
                "private_key": ["filename": .string(EnvoyPath.tls(key.name))],
            ], [chain, key])
    }
    if case .mutual = mode, let authority = material.certificateAuthority {
        let file = TLSFile(name: "\(owner)-\(contentHash(authority)).ca", contents: authority)
        add(
            authorityName(owner), "validation_context", ["trusted_ca": ["filename": .string(EnvoyPath.tls(file.name))]],
            [file])
    }
    return secrets
}

/// Half a SHA-256 names a file well enough.
private func contentHash(_ text: String, _ secret: SecretBytes? = nil) -> String {
    var hash = SHA256()
    hash.update(Array(text.utf8))
    secret?.withUnsafeBytes { hash.update($0) }
    return String(hash.finish().description.prefix(32))
}

/// The TLS end of a filter chain; nil for passthrough.
/// - Parameters:
///   - owner: as of `tlsSecrets`.
///   - protocols: what is agreed on by ALPN (RFC 7301); empty for nothing.
func downstreamTLS(_ owner: String, _ mode: RelayTLS.Mode, protocols: [String] = []) -> FieldValue? {
    func source(_ name: String) -> FieldValue { ["name": .string(name), "sds_config": .fileSource(EnvoyPath.secret(name))] }
    var authority: FieldValue?
    var isRequired: FieldValue?
    switch mode {
    case .passthrough: return nil
    case .offload: break
    case .mutual:
        authority = source(authorityName(owner))
        isRequired = true
    }
    return .extended(
        "envoy.transport_sockets.tls", "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        .fields([
            "common_tls_context": .fields([
                "alpn_protocols": protocols.isEmpty ? nil : .array(protocols.map { .string($0) }),
                "tls_certificate_sds_secret_configs": [source(owner)],
                "tls_params": ["tls_minimum_protocol_version": "TLSv1_2"],
                "validation_context_sds_secret_config": authority,
            ]),
            "require_client_certificate": isRequired,
        ]))
}
