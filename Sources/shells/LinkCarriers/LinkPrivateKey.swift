import NIOSSL
import Sodium

extension LinkPrivateKey {
    /// The key as the TLS library takes it: PKCS #8 (RFC 8410, section 7), zeroed again.
    func tlsKey() throws(LinkCarrierError) -> NIOSSLPrivateKey {
        var bytes = secret.withUnsafeBytes { seed in
            DER.sequence([0x02, 1, 0] + DER.ed25519 + DER.tagged(0x04, DER.tagged(0x04, Array(seed))))
        }
        defer { zero(&bytes) }
        do {
            return try NIOSSLPrivateKey(bytes: bytes, format: .der)
        } catch {
            throw LinkCarrierError(.key, cause: "\(error)")
        }
    }

    /// A certificate that this key signed for itself. Who is pinned by key reads nothing of it but the key: the name says nothing,
    /// and it is valid for as long as certificates can be, whatever the other side's clock says.
    func certificate() throws(LinkCarrierError) -> NIOSSLCertificate {
        // commonName, 2.5.4.3
        let name = DER.sequence(DER.tagged(0x31, DER.sequence([0x06, 3, 0x55, 4, 3] + DER.tagged(0x0C, Array("link".utf8)))))
        // RFC 5280, section 4.1.2.5: the last moment stands for no end.
        let validity = DER.sequence(
            DER.tagged(0x17, Array("700101000000Z".utf8)) + DER.tagged(0x18, Array("99991231235959Z".utf8)))
        let version: [UInt8] = [0xA0, 3, 0x02, 1, 2]
        let serial: [UInt8] = [0x02, 1, 1]
        let content = DER.sequence(
            version + serial + DER.ed25519 + name + validity + name + publicKeyInfo)
        let bytes = DER.sequence(content + DER.ed25519 + DER.tagged(0x03, [0] + signature(of: content)))
        do {
            return try NIOSSLCertificate(bytes: bytes, format: .der)
        } catch {
            throw LinkCarrierError(.key, cause: "\(error)")
        }
    }
}
