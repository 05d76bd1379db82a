import Certificates
import Crypto
import EdgeAPI
import Fixtures
import NodeDocument
import TestCertificates
import Testing
import X509

/// The Secrets that an EdgeNode's links name.
@Suite struct LinkSecretsTests {
    private let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
    private let name = ObjectName(namespace: "a", name: "link-tls")
    private let clients = ObjectName(namespace: "a", name: "link-ca")

    private func certificate(_ more: [String: String] = [:]) throws -> Secret {
        try tlsSecret(["tls.crt": try certificatePEM(key), "tls.key": try pem(key)].merging(more) { $1 })
    }

    @Test func aCertificateAlone() throws {
        let read = readLinkSecrets((name, try certificate()), clients: nil, now: testNow)
        guard case .usable(let material) = read.source else {
            Issue.record("\(read.source)")
            return
        }
        #expect(material.certificateAuthority == nil && read.authority == nil)
    }

    /// Who signed the edge's certificate, and who signs the clients', need not be the same.
    @Test func bothAuthorities() throws {
        let signer = try certificatePEM(Certificate.PrivateKey(P256.Signing.PrivateKey()))
        let other = try certificatePEM(Certificate.PrivateKey(P256.Signing.PrivateKey()))
        let read = readLinkSecrets(
            (name, try certificate(["ca.crt": signer])), clients: (clients, try tlsSecret(["ca.crt": other])), now: testNow)
        guard case .usable(let material) = read.source else {
            Issue.record("\(read.source)")
            return
        }
        #expect(material.certificateAuthority == other && read.authority == signer)
    }

    @Test func whatIsWrongNamesTheSecret() throws {
        func fault(_ secret: Secret?, _ others: Secret?? = nil) -> String? {
            let read = readLinkSecrets((name, secret), clients: others.map { (clients, $0) }, now: testNow)
            return if case .unusable(let reason) = read.source { reason } else { nil }
        }
        #expect(fault(nil) == "Secret a/link-tls does not exist; create it or correct spec.tunnel.link.secretRef")
        #expect(fault(try tlsSecret(["tls.crt": "x", "tls.key": "y"]))?.hasPrefix("Secret a/link-tls: tls.key") == true)
        #expect(
            fault(try certificate(), .some(nil))
                == "Secret a/link-ca does not exist; create it or correct spec.tunnel.link.clientCASecretRef")
        #expect(fault(try certificate(), .some(try tlsSecret([:]))) == "Secret a/link-ca: ca.crt is missing or empty")
        #expect(
            fault(try certificate(), .some(try tlsSecret(["ca.crt": "garbage"])))?.hasPrefix("Secret a/link-ca: ca.crt") == true)
    }
}
