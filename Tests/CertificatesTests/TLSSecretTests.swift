import Certificates
import Crypto
import CryptoExtras
import EdgeAPI
import Fixtures
import FoundationEssentials
import NodeDocument
import Sodium
import TestCertificates
import Testing
import X509

@Suite struct TLSSecretTests {
    private let key = Certificate.PrivateKey(P256.Signing.PrivateKey())

    private func usable(_ texts: [String: String]) throws -> TLSMaterial? {
        switch readTLSSecret(try tlsSecret(texts), now: testNow) {
        case .usable(let material): return material
        case .unusable(let reason):
            Issue.record("unusable: \(reason)")
            return nil
        }
    }

    private func fault(_ texts: [String: String], now: Date = testNow) throws -> String? {
        switch readTLSSecret(try tlsSecret(texts), now: now) {
        case .usable: return nil
        case .unusable(let reason):
            // Whatever is wrong, nothing of the Secret's content is told.
            for text in texts.values {
                for line in text.split(separator: "\n") where line.count > 20 && !line.hasPrefix("-----") {
                    #expect(!reason.contains(line.prefix(20)))
                }
            }
            return reason
        }
    }

    static let kinds: [(String, @Sendable () throws -> Certificate.PrivateKey)] = [
        ("P-256", { Certificate.PrivateKey(P256.Signing.PrivateKey()) }),
        ("P-384", { Certificate.PrivateKey(P384.Signing.PrivateKey()) }),
        ("P-521", { Certificate.PrivateKey(P521.Signing.PrivateKey()) }),
        ("RSA 2048", { Certificate.PrivateKey(try _RSA.Signing.PrivateKey(keySize: .bits2048)) }),
    ]

    @Test(arguments: kinds.indices) func takesWhatEnvoyServes(index: Int) throws {
        let key = try Self.kinds[index].1()
        let texts = ["tls.crt": try certificatePEM(key), "tls.key": try pem(key)]
        let material = try #require(try usable(texts), "\(Self.kinds[index].0)")
        #expect(material.certificateChain == texts["tls.crt"])
        #expect(material.privateKey.text == texts["tls.key"])
        #expect(material.certificateAuthority == nil)
    }

    @Test func takesTheOlderFormsOfKeys() throws {
        let plain = P256.Signing.PrivateKey()
        let certificate = try certificatePEM(Certificate.PrivateKey(plain))
        let sec1 = try #require(Self.sec1PEM(plain))
        #expect(try usable(["tls.crt": certificate, "tls.key": sec1]) != nil)
        // As `openssl ecparam -genkey` writes it.
        let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        #expect(try usable(["tls.crt": certificate, "tls.key": parameters + sec1]) != nil)
        let rsa = try _RSA.Signing.PrivateKey(keySize: .bits2048)
        let pkcs1 = rsa.pemRepresentation
        #expect(pkcs1.contains("BEGIN RSA PRIVATE KEY"))
        #expect(try usable(["tls.crt": certificatePEM(Certificate.PrivateKey(rsa)), "tls.key": pkcs1]) != nil)
    }

    /// RFC 5915 with the named curve.
    private static func sec1PEM(_ key: P256.Signing.PrivateKey) -> String? {
        let scalar = Array(key.rawRepresentation)
        guard scalar.count == 32 else { return nil }
        let body: [UInt8] =
            [0x30, 49, 0x02, 1, 1, 0x04, 32] + scalar + [0xA0, 10, 0x06, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7]
        let text = Data(body).base64EncodedString()
        return "-----BEGIN EC PRIVATE KEY-----\n\(text.prefix(64))\n\(text.dropFirst(64))\n-----END EC PRIVATE KEY-----\n"
    }

    @Test func keepsTheChainAndTheAuthority() throws {
        let other = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let chain = try certificatePEM(key) + certificatePEM(other)
        let authority = try certificatePEM(other) + certificatePEM(key)
        let material = try usable(["tls.crt": "a comment\n" + chain, "tls.key": try pem(key), "ca.crt": authority])
        #expect(material?.certificateChain == chain)
        #expect(material?.certificateAuthority == authority)
    }

    /// cert-manager writes an empty ca.crt for public authorities.
    @Test func takesAnEmptyAuthorityForNone() throws {
        let material = try usable(["tls.crt": try certificatePEM(key), "tls.key": try pem(key), "ca.crt": ""])
        #expect(material != nil)
        #expect(material?.certificateAuthority == nil)
    }

    @Test func refusesAPairThatDoesNotBelongTogether() throws {
        let other = Certificate.PrivateKey(P256.Signing.PrivateKey())
        let message = "tls.key is not the key of the first certificate in tls.crt; put the pair that belongs together there"
        #expect(try fault(["tls.crt": try certificatePEM(other), "tls.key": try pem(key)]) == message)
        // The leaf comes first.
        #expect(try fault(["tls.crt": try certificatePEM(other) + certificatePEM(key), "tls.key": try pem(key)]) == message)
    }

    @Test func refusesWhatIsOutOfItsTime() throws {
        let texts = ["tls.crt": try certificatePEM(key), "tls.key": try pem(key)]
        #expect(
            try fault(texts, now: testNow + 31 * day)
                == "the certificate in tls.crt ended on 2026-12-21T10:00:00Z; renew it")
        #expect(
            try fault(texts, now: testNow - 2 * day)
                == "the certificate in tls.crt is valid from 2026-11-20T10:00:00Z on; check the clock")
        #expect(try fault(texts, now: testNow + 30 * day) == nil)
        #expect(try fault(texts, now: testNow - day) == nil)
    }

    @Test(arguments: ["tls.crt", "tls.key"]) func refusesWhatIsMissing(name: String) throws {
        var texts = ["tls.crt": try certificatePEM(key), "tls.key": try pem(key)]
        let message = "\(name) is missing or empty; the Secret should be of type kubernetes.io/tls"
        texts[name] = ""
        #expect(try fault(texts) == message)
        texts[name] = nil
        #expect(try fault(texts) == message)
    }

    @Test func refusesGarbage() throws {
        let certificate = try certificatePEM(key)
        let keyText = try pem(key)
        func broken(_ name: String, _ text: String) throws -> String? {
            var texts = ["tls.crt": certificate, "tls.key": keyText, "ca.crt": certificate]
            texts[name] = text
            return try fault(texts)
        }
        let kinds = "is not an X.509 certificate for an ECDSA key or RSA of 2048 bits or more"
        for name in ["tls.crt", "ca.crt"] {
            #expect(try broken(name, "no PEM at all, but rather long") == "\(name) holds no certificate")
            #expect(
                try broken(name, String(certificate.dropLast(40)))
                    == "block 1 of \(name) has no line -----END CERTIFICATE-----; it is cut short")
            #expect(
                try broken(name, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
                    == "block 1 of \(name) \(kinds)")
            #expect(try broken(name, keyText) == "\(name) holds no certificate, but PRIVATE KEY")
            #expect(try broken(name, "\(certificate)\u{0}") == "\(name) is not PEM text")
        }
        #expect(try broken("tls.key", "no PEM at all, but rather long") == "tls.key is not a PEM private key")
        #expect(try broken("tls.key", certificate) == "tls.key is not a PEM private key")
        #expect(
            try broken("tls.key", "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n")
                == "tls.key is not a key of a kind that Envoy serves; use ECDSA P-256 or RSA 2048")
    }

    @Test func refusesBytesThatAreNoText() throws {
        var secret = try tlsSecret(["tls.crt": try certificatePEM(key)])
        secret.data["tls.key"] = try SecretBytes(copying: [0xFF, 0xFE, 0x00])
        guard case .unusable(let reason) = readTLSSecret(secret, now: testNow) else {
            Issue.record("usable")
            return
        }
        #expect(reason == "tls.key cannot be read: it is UTF-16 text; save it as UTF-8 or ASCII")
    }

    @Test(arguments: [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIBvTBXBgkqhkiG9w0BBQ0wSjApBgkqhkiG9w0BBQwwHAQI\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIB\n-----END EC PRIVATE KEY-----\n",
    ])
    func refusesEncryptedKeys(text: String) throws {
        #expect(
            try fault(["tls.crt": try certificatePEM(key), "tls.key": text])
                == "tls.key is encrypted; store it without a passphrase")
    }

    @Test func refusesKindsThatEnvoyDoesNotServe() throws {
        let edwards = Certificate.PrivateKey(Curve25519.Signing.PrivateKey())
        #expect(
            try fault(["tls.crt": try certificatePEM(edwards), "tls.key": try pem(edwards)])
                == "tls.key is not a key of a kind that Envoy serves; use ECDSA P-256 or RSA 2048")
        let short = try _RSA.Signing.PrivateKey(unsafeKeySize: .init(bitCount: 1024))
        for text in [short.pemRepresentation, short.pkcs8PEMRepresentation] {
            #expect(
                try fault(["tls.crt": try certificatePEM(Certificate.PrivateKey(short)), "tls.key": text])
                    == "tls.key is RSA of 1024 bits, and Envoy wants 2048 or more")
        }
    }

    @Test func tellsWhenACertificateEnds() throws {
        #expect(certificateEnd(of: try tlsSecret(["tls.crt": try certificatePEM(key)])) == testNow + 30 * day)
        #expect(certificateEnd(of: try tlsSecret(["tls.crt": "garbage"])) == nil)
        #expect(certificateEnd(of: try tlsSecret([:])) == nil)
    }
}
