import Crypto
import CryptoExtras
public import EdgeAPI
public import FoundationEssentials
public import NodeDocument
import Sodium
import SwiftASN1
import X509

/// Checks a `kubernetes.io/tls` Secret before anything of it is pushed to a host.
///
/// The certificate chain parses, is valid at `now`, and its first certificate belongs to the key; both are of a kind that Envoy
/// serves; `ca.crt`, where there is one, parses. The reasons name the Secret's key at fault, and never its content. What is handed on
/// is what was parsed, written anew: Envoy reads it as it was read here, whatever the text looked like.
public func readTLSSecret(_ secret: Secret, now: Date) -> CertificateSource {
    do throws(SecretFault) {
        // The key first: it tells best why a kind is not served.
        let key = try privateKey(in: secret)
        let chain = try certificates(in: secret, key: "tls.crt")
        guard let leaf = chain.first else { throw SecretFault("tls.crt holds no certificate") }
        try checkValidity(of: leaf.certificate, now: now)
        guard key.publicKey == leaf.certificate.publicKey else {
            throw SecretFault(
                "tls.key is not the key of the first certificate in tls.crt; put the pair that belongs together there")
        }
        // cert-manager writes an empty ca.crt for public authorities.
        let hasAuthority = secret.data["ca.crt"]?.withUnsafeBytes { $0.contains { $0 > 0x20 } } ?? false
        let authority = hasAuthority ? try certificates(in: secret, key: "ca.crt") : nil
        return .usable(
            TLSMaterial(
                certificateChain: text(chain), privateKey: try text(key), certificateAuthority: authority.map { text($0) }))
    } catch {
        return .unusable(error.message)
    }
}

/// Checks the `ca.crt` of a Secret, and hands on what was parsed, written anew.
public func readAuthority(_ secret: Secret) -> AuthoritySource {
    do throws(SecretFault) {
        return .usable(text(try certificates(in: secret, key: "ca.crt")))
    } catch {
        return .unusable(error.message)
    }
}

/// When the first certificate of `tls.crt` ends; nil when it cannot be read.
public func certificateEnd(of secret: Secret) -> Date? {
    try? certificates(in: secret, key: "tls.crt").first?.certificate.notValidAfter
}

private struct SecretFault: Error {
    let message: String
    init(_ message: String) { self.message = message }
}

private struct ParsedCertificate {
    let certificate: Certificate
    let der: [UInt8]
}

private func text(_ certificates: [ParsedCertificate]) -> String {
    String(decoding: certificates.flatMap { PEMBlock.canonicalText(label: "CERTIFICATE", bytes: $0.der) }, as: UTF8.self)
}

private func text(_ key: Certificate.PrivateKey) throws(SecretFault) -> SecretBytes {
    do {
        var document = try key.serializeAsPEM()
        defer { zero(&document.derBytes) }
        var text = PEMBlock.canonicalText(label: document.discriminator, bytes: document.derBytes)
        return try SecretBytes(consuming: &text)
    } catch {
        throw SecretFault("tls.key cannot be written anew; use ECDSA P-256 or RSA 2048")
    }
}

private func blocks(
    in secret: Secret, key: String, isWanted: @escaping (String) -> Bool
) throws(SecretFault) -> [PEMBlock] {
    guard let bytes = secret.data[key], bytes.count > 0 else {
        let type = key == "ca.crt" ? "" : "; the Secret should be of type kubernetes.io/tls"
        throw SecretFault("\(key) is missing or empty\(type)")
    }
    do throws(PEMFault) {
        return try bytes.withUnsafeBytes { text throws(PEMFault) in try readPEM(text, isWanted: isWanted) }
    } catch {
        throw SecretFault(error.block.map { "block \($0) of \(key) \(error.message)" } ?? "\(key) \(error.message)")
    }
}

/// The labels that OpenSSL takes for a certificate (PEM_STRING_X509, X509_OLD and X509_TRUSTED of its pem.h).
private let certificateLabels: Set = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"]

/// Each certificate once, in the order of the text. Other blocks, such as a key, are passed over, as Envoy does.
private func certificates(in secret: Secret, key: String) throws(SecretFault) -> [ParsedCertificate] {
    let blocks = try blocks(in: secret, key: key) { certificateLabels.contains($0) }
    // Without them more clients would be let in.
    if key == "ca.crt", blocks.contains(where: { $0.label == "X509 CRL" }) {
        throw SecretFault("ca.crt holds a list of revoked certificates (X509 CRL), which Tidegate does not check; take it out")
    }
    var result: [ParsedCertificate] = []
    var seen: Set<[UInt8]> = []
    for block in blocks where certificateLabels.contains(block.label) {
        var der = block.bytes
        if block.label == "TRUSTED CERTIFICATE", let length = firstElementLength(der[...]) {
            // What openssl adds says what the certificate is trusted for; with none such it is trusted for all.
            if key == "ca.crt", limitsTrust(der[length...]) {
                throw SecretFault(
                    "block \(block.number) of ca.crt says what it is trusted for, which Tidegate does not check; "
                        + "write it anew by openssl x509")
            }
            der.removeSubrange(length...)
        }
        guard seen.insert(der).inserted else { continue }
        do {
            result.append(ParsedCertificate(certificate: try Certificate(derEncoded: der), der: der))
        } catch {
            // What fails here is garbage, or a key that Swift's X.509 does not know: RSA under 2048 bits, DSA, rare curves.
            throw SecretFault(
                "block \(block.number) of \(key) is not an X.509 certificate for an ECDSA key or RSA of 2048 bits or more")
        }
    }
    guard !result.isEmpty else {
        let others = Set(blocks.map(\.label)).sorted().prefix(3).joined(separator: ", ")
        throw SecretFault("\(key) holds no certificate\(others.isEmpty ? "" : ", but \(others)")")
    }
    return result
}

/// Bytes of the DER element (X.690, section 8.1) that `der` begins with, its head included; nil for none.
private func firstElementLength(_ der: ArraySlice<UInt8>) -> Int? {
    guard der.count >= 2 else { return nil }
    let first = Int(der[der.startIndex + 1])
    if first < 0x80 { return first + 2 <= der.count ? first + 2 : nil }
    let octets = first & 0x7F
    guard (1...4).contains(octets), der.count >= 2 + octets else { return nil }
    let length = der[(der.startIndex + 2)..<(der.startIndex + 2 + octets)].reduce(0) { $0 << 8 | Int($1) }
    return length + 2 + octets <= der.count ? length + 2 + octets : nil
}

/// Whether `auxiliary`, an X509_CERT_AUX of OpenSSL or nothing, names uses that are trusted (a SEQUENCE) or rejected ([0]).
private func limitsTrust(_ auxiliary: ArraySlice<UInt8>) -> Bool {
    guard let length = auxiliary.dropFirst().first else { return false }
    let head = length < 0x80 ? 2 : 2 + Int(length & 0x7F)
    guard let tag = auxiliary.dropFirst(head).first else { return false }
    return tag == 0x30 || tag == 0xA0
}

private func privateKey(in secret: Secret) throws(SecretFault) -> Certificate.PrivateKey {
    var blocks = try blocks(in: secret, key: "tls.key") { $0.hasSuffix("PRIVATE KEY") && !$0.hasPrefix("ENCRYPTED") }
    defer { for index in blocks.indices { zero(&blocks[index].bytes) } }
    // The first block that is a key, as BoringSSL picks it: `openssl ecparam -genkey` writes the curve's parameters before.
    guard let index = blocks.firstIndex(where: { $0.label.hasSuffix("PRIVATE KEY") }) else {
        throw SecretFault("tls.key is not a PEM private key")
    }
    if blocks[index].isEncrypted || blocks[index].label.hasPrefix("ENCRYPTED") {
        throw SecretFault("tls.key is encrypted; store it without a passphrase")
    }
    var document = PEMDocument(type: blocks[index].label, derBytes: blocks[index].bytes)
    // With a second owner what is zeroed would be a copy.
    blocks[index].bytes = []
    defer { zero(&document.derBytes) }
    do {
        let key = try Certificate.PrivateKey(pemDocument: document)
        if isServed(key.publicKey) { return key }
    } catch {
        if let rsa = try? _RSA.Signing.PrivateKey(unsafePEMRepresentation: document.pemString), rsa.keySizeInBits < 2048 {
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
