/// A certificate as PEM text. Printing it shows no key.
public struct TLSMaterial: Hashable, Codable, Sendable, CustomStringConvertible, CustomReflectable {
    /// The leaf first, then its intermediates.
    public var certificateChain: String
    public var privateKey: String
    /// What the clients' certificates are checked against; mode mutual alone needs it.
    public var certificateAuthority: String?

    public init(certificateChain: String, privateKey: String, certificateAuthority: String? = nil) {
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

/// What a TLS Secret holds, as it was read (`Certificates`) and is planned with (`Planning`).
public enum CertificateSource: Sendable {
    case usable(TLSMaterial)
    /// Why it cannot be used, naming the Secret's key at fault.
    case unusable(String)
}
