import Crypto
import EdgeAPI
import FoundationEssentials
import Sodium
import SwiftASN1
import X509

/// 2026-11-21T10:00:00Z, when the tests play.
let testNow = Date(timeIntervalSince1970: 1_795_255_200)
let day: TimeInterval = 86400

/// A self-signed certificate for `key`, valid from yesterday for a month unless told otherwise, as PEM.
func certificatePEM(
    _ key: Certificate.PrivateKey, from: Date = testNow - day, until: Date = testNow + 30 * day
) throws -> String {
    let name = try DistinguishedName { CommonName("tidegate test") }
    let certificate = try Certificate(
        version: .v3, serialNumber: .init(), publicKey: key.publicKey, notValidBefore: from, notValidAfter: until, issuer: name,
        subject: name, extensions: try .init { BasicConstraints.isCertificateAuthority(maxPathLength: nil) },
        issuerPrivateKey: key)
    return try certificate.serializeAsPEM().pemString + "\n"
}

func pem(_ key: Certificate.PrivateKey) throws -> String { try key.serializeAsPEM().pemString + "\n" }

func secret(_ texts: [String: String]) throws -> Secret {
    var data: [String: SecretBytes] = [:]
    for (key, text) in texts { data[key] = try SecretBytes(copying: Array(text.utf8)) }
    return Secret(metadata: ObjectMeta(name: "web-tls"), data: data)
}
