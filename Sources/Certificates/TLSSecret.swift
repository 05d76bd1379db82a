import Crypto
import CryptoExtras
public import EdgeAPI
import EnvoyConfig
public import FoundationEssentials
public import Planning
import Sodium
import SwiftASN1
import X509

/// Checks a `kubernetes.io/tls` Secret before anything of it is pushed to a host.
///
/// The certificate chain parses, is valid at `now`, and its first certificate belongs to the key; both are of a kind that Envoy
/// serves; `ca.crt`, where there is one, parses. The reasons name the Secret's key at fault, and never its content.
public func readTLSSecret(_ secret: Secret, now: Date) -> CertificateSource {
    do throws(SecretFault) {
        // The key first: it tells best why a kind is not served.
        let key = try privateKey(in: secret)
        let chain = try certificates(in: secret, key: "tls.crt")
        guard let leaf = chain.first else { throw SecretFault("tls.crt holds no certificate") }
        try checkValidity(of: leaf, now: now)
        guard key.publicKey == leaf.publicKey else {
            throw SecretFault(
                "tls.key is not the key of the first certificate in tls.crt; put the pair that belongs together there")
        }
        let hasAuthority = secret.data["ca.crt"].map { $0.count > 0 } ?? false
        if hasAuthority { _ = try certificates(in: secret, key: "ca.crt") }
        return .usable(
            TLSMaterial(
                certificateChain: try text(in: secret, key: "tls.crt"), privateKey: try text(in: secret, key: "tls.key"),
                certificateAuthority: hasAuthority ? try text(in: secret, key: "ca.crt") : nil))
    } catch {
        return .unusable(error.message)
    }
}

/// When the first certificate of `tls.crt` ends; nil when it cannot be read.
public func certificateEnd(of secret: Secret) -> Date? {
    guard let pem = try? text(in: secret, key: "tls.crt") else { return nil }
    return try? PEMDocument.parseMultiple(pemString: pem).first.map { try Certificate(pemDocument: $0).notValidAfter }
}

private struct SecretFault: Error {
    let message: String
    init(_ message: String) { self.message = message }
}

private func text(in secret: Secret, key: String) throws(SecretFault) -> String {
    guard let bytes = secret.data[key], bytes.count > 0 else {
        throw SecretFault("\(key) is missing or empty; the Secret should be of type kubernetes.io/tls")
    }
    guard let text = bytes.withUnsafeBytes({ String(validating: $0, as: UTF8.self) }), !text.utf8.contains(0) else {
        throw SecretFault("\(key) is not PEM text")
    }
    return text
}

private func certificates(in secret: Secret, key: String) throws(SecretFault) -> [Certificate] {
    let pem = try text(in: secret, key: key)
    let documents: [PEMDocument]
    do {
        documents = try PEMDocument.parseMultiple(pemString: pem)
    } catch {
        throw SecretFault("\(key) is not PEM")
    }
    guard !documents.isEmpty else { throw SecretFault("\(key) holds no certificate") }
    var result: [Certificate] = []
    for (index, document) in documents.enumerated() {
        do {
            result.append(try Certificate(pemDocument: document))
        } catch {
            // What fails here is garbage, or a key that Swift's X.509 does not know: RSA under 2048 bits, DSA, rare curves.
            throw SecretFault(
                "block \(index + 1) of \(key) is not an X.509 certificate for an ECDSA key or RSA of 2048 bits or more")
        }
    }
    return result
}

private func privateKey(in secret: Secret) throws(SecretFault) -> Certificate.PrivateKey {
    let pem = try text(in: secret, key: "tls.key")
    if pem.contains("ENCRYPTED") { throw SecretFault("tls.key is encrypted; store it without a passphrase") }
    // The first block that is a key, as BoringSSL picks it: `openssl ecparam -genkey` writes the curve's parameters before.
    guard let blocks = try? PEMDocument.parseMultiple(pemString: pem),
        let block = blocks.first(where: { $0.discriminator.hasSuffix("PRIVATE KEY") })
    else { throw SecretFault("tls.key is not a PEM private key") }
    do {
        let key = try Certificate.PrivateKey(pemDocument: block)
        if isServed(key.publicKey) { return key }
    } catch {
        if let rsa = try? _RSA.Signing.PrivateKey(unsafePEMRepresentation: block.pemString), rsa.keySizeInBits < 2048 {
            throw SecretFault("tls.key is RSA of \(rsa.keySizeInBits) bits, and Envoy wants 2048 or more")
        }
    }
    throw SecretFault("tls.key is not a key of a kind that Envoy serves; use ECDSA P-256 or RSA 2048")
}

private func checkValidity(of certificate: Certificate, now: Date) throws(SecretFault) {
    if certificate.notValidAfter < now {
        throw SecretFault("the certificate in tls.crt ended on \(certificate.notValidAfter.formatted(.iso8601)); renew it")
    }
    if certificate.notValidBefore > now {
        throw SecretFault(
            "the certificate in tls.crt is valid from \(certificate.notValidBefore.formatted(.iso8601)) on; check the clock")
    }
}

/// Envoy takes RSA of 2048 bits or more, which Swift's X.509 alone reads, and ECDSA on P-256, P-384 and P-521
/// (envoy: source/common/tls/context_impl.cc).
private func isServed(_ key: Certificate.PublicKey) -> Bool {
    _RSA.Signing.PublicKey(key) != nil || P256.Signing.PublicKey(key) != nil || P384.Signing.PublicKey(key) != nil
        || P521.Signing.PublicKey(key) != nil
}
