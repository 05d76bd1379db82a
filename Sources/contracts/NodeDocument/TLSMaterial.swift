public import Sodium

/// A certificate as PEM text. Printing it shows no key.
public struct TLSMaterial: Equatable, Sendable, CustomStringConvertible, CustomReflectable {
    /// The leaf first, then its intermediates.
    public var certificateChain: String
    public var privateKey: SecretBytes
    /// What the clients' certificates are checked against; mode mutual alone needs it.
    public var certificateAuthority: String?

    public init(certificateChain: String, privateKey: SecretBytes, certificateAuthority: String? = nil) {
        self.certificateChain = certificateChain
        self.privateKey = privateKey
        self.certificateAuthority = certificateAuthority
    }

    /// Without what the mode does not need.
    /// - Returns: nil when it lacks what the mode needs.
    public func fitted(to mode: RelayTLS.Mode?) -> TLSMaterial? {
        var material = self
        switch mode {
        case nil, .passthrough: return nil
        case .offload: material.certificateAuthority = nil
        case .mutual: if material.certificateAuthority == nil { return nil }
        }
        return material
    }

    public var description: String { "TLSMaterial(\(certificateChain.utf8.count) bytes of certificates, key hidden)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension TLSMaterial: Hashable {
    /// Of what everybody may see.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(certificateChain)
        hasher.combine(certificateAuthority)
    }
}

extension TLSMaterial: Codable {
    private enum CodingKeys: String, CodingKey {
        case certificateChain, privateKey, certificateAuthority
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(certificateChain, forKey: .certificateChain)
        try container.encode(DocumentSecrets.of(encoder.userInfo).mark(privateKey), forKey: .privateKey)
        try container.encodeIfPresent(certificateAuthority, forKey: .certificateAuthority)
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            certificateChain: try container.decode(String.self, forKey: .certificateChain),
            privateKey: try DocumentSecrets.of(decoder.userInfo).secret(try container.decode(String.self, forKey: .privateKey)),
            certificateAuthority: try container.decodeIfPresent(String.self, forKey: .certificateAuthority))
    }
}

/// The `ca.crt` of a Secret, as it was read.
public enum AuthoritySource: Sendable {
    /// PEM.
    case usable(String)
    /// Why it cannot be used, naming the Secret's key at fault.
    case unusable(String)
}

/// What a TLS Secret holds, as it was read (`Certificates`) and is planned with (`Planning`).
public enum CertificateSource: Sendable {
    case usable(TLSMaterial)
    /// Why it cannot be used, naming the Secret's key at fault.
    case unusable(String)
}
