import Crypto
public import EdgeAPI
public import FoundationEssentials
import Sodium
import SwiftASN1
public import X509

/// 2026-11-21T10:00:00Z, when the tests of certificates play.
public let testNow = Date(timeIntervalSince1970: 1_795_255_200)
/// Seconds.
public let day: TimeInterval = 86400

/// A self-signed certificate for `key`, valid from a day before `testNow` for a month unless told otherwise, as PEM.
public func certificatePEM(
    _ key: Certificate.PrivateKey, from: Date = testNow - day, until: Date = testNow + 30 * day
) throws -> String {
    let name = try DistinguishedName { CommonName("tidegate test") }
    let certificate = try Certificate(
        version: .v3, serialNumber: .init(), publicKey: key.publicKey, notValidBefore: from, notValidAfter: until, issuer: name,
        subject: name, extensions: try .init { BasicConstraints.isCertificateAuthority(maxPathLength: nil) },
        issuerPrivateKey: key)
    return try certificate.serializeAsPEM().pemString + "\n"
}

public func pem(_ key: Certificate.PrivateKey) throws -> String { try key.serializeAsPEM().pemString + "\n" }

/// Secret `default/web-tls` with these texts.
public func tlsSecret(_ texts: [String: String]) throws -> Secret {
    var data: [String: SecretBytes] = [:]
    for (key, text) in texts { data[key] = try SecretBytes(copying: Array(text.utf8)) }
    return Secret(metadata: ObjectMeta(name: "web-tls"), data: data)
}

/// Secret `default/web-tls` with a fresh pair that is valid now and for a day.
public func freshTLSSecret() throws -> Secret {
    let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
    return try tlsSecret(["tls.crt": certificatePEM(key, from: Date() - day, until: Date() + day), "tls.key": pem(key)])
}
