public import EdgeAPI
public import FoundationEssentials
public import NodeDocument

/// What the Secrets of `spec.tunnel.link` hold, as they were read.
public struct LinkSecrets: Sendable {
    /// The certificate; its authority is whose certificates uplinks must show, nil for nobody's. The reasons name the Secret.
    public var source: CertificateSource
    /// PEM: who signed the certificate; nil for the system's authorities.
    public var authority: String?

    public init(source: CertificateSource, authority: String? = nil) {
        self.source = source
        self.authority = authority
    }
}

/// Checks the Secrets of `link.secretRef` and `link.clientCASecretRef`; each is nil where it does not exist, and of `clients` also the name where
/// nothing is asked of clients.
public func readLinkSecrets(
    _ certificate: (name: ObjectName, secret: Secret?), clients: (name: ObjectName, secret: Secret?)?, now: Date
) -> LinkSecrets {
    guard let secret = certificate.secret else { return .missing(certificate.name, "secretRef") }
    switch readTLSSecret(secret, now: now) {
    case .unusable(let reason): return LinkSecrets(source: .unusable("Secret \(certificate.name): \(reason)"))
    case .usable(var material):
        let authority = material.certificateAuthority
        material.certificateAuthority = nil
        if let clients {
            guard let secret = clients.secret else { return .missing(clients.name, "clientCASecretRef") }
            switch readAuthority(secret) {
            case .unusable(let reason): return LinkSecrets(source: .unusable("Secret \(clients.name): \(reason)"))
            case .usable(let text): material.certificateAuthority = text
            }
        }
        return LinkSecrets(source: .usable(material), authority: authority)
    }
}

extension LinkSecrets {
    fileprivate static func missing(_ name: ObjectName, _ field: String) -> LinkSecrets {
        LinkSecrets(source: .unusable("Secret \(name) does not exist; create it or correct spec.tunnel.link.\(field)"))
    }
}
