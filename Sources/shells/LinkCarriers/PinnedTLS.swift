import LinkProtocol
import NIOCore
public import NIOSSL
public import Sodium

/// The link's own TLS: version 1.3, both sides known by their public keys, no authority. What a stranger sees is a TLS server that
/// breaks off.
public struct PinnedTLS: Sendable {
    private let context: NIOSSLContext

    public init(key: LinkPrivateKey) throws(LinkCarrierError) {
        let certificate = try key.certificate()
        let privateKey = try key.tlsKey()
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: [.certificate(certificate)], privateKey: .privateKey(privateKey))
        configuration.minimumTLSVersion = .tlsv13
        // Asks for a certificate and lets the callback say whether it will do.
        configuration.certificateVerification = .noHostnameVerification
        configuration.trustRoots = .certificates([])
        configuration.verifySignatureAlgorithms = [.ed25519]
        configuration.signingSignatureAlgorithms = [.ed25519]
        configuration.applicationProtocols = [LinkVersion.protocolName]
        do {
            context = try NIOSSLContext(configuration: configuration)
        } catch {
            throw LinkCarrierError(.key, cause: "\(error)")
        }
    }

    /// For the side that dials. `serverName` is what a proxy in front may route by; nil sends none.
    public func client(pin: SHA256Digest, serverName: String?) throws -> NIOSSLClientHandler {
        try NIOSSLClientHandler(context: context, serverHostname: serverName) { chain, promise in
            promise.succeed(Self.pin(of: chain.first) == pin ? .certificateVerified : .failed)
        }
    }

    /// For the side that is dialed. `isKnown` is asked on the channel's event loop.
    ///
    /// Ask again by `peerPin` when the handshake is done: a resumed session shows no certificate to the callback.
    public func server(isKnown: @escaping @Sendable (SHA256Digest) -> Bool) -> NIOSSLServerHandler {
        NIOSSLServerHandler(context: context) { chain, promise in
            promise.succeed(Self.pin(of: chain.first).map(isKnown) == true ? .certificateVerified : .failed)
        }
    }

    /// Who is at the other end of a handshake that is done; nil when nobody showed a key. On the channel's event loop.
    public static func peerPin(of handler: NIOSSLHandler) -> SHA256Digest? { pin(of: handler.peerCertificate) }

    private static func pin(of certificate: NIOSSLCertificate?) -> SHA256Digest? {
        guard let key = try? certificate?.extractPublicKey(), let bytes = try? key.toSPKIBytes() else { return nil }
        return SHA256.digest(of: bytes)
    }
}
