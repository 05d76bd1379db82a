import NIOCore
import NIOSSL
import Sodium

/// The bytes behind a `ClusterAccess` as they were last read.
struct Contents: Equatable, Sendable {
    var authority: [UInt8]?
    var chain: [UInt8]?
    var key: SecretBytes?
    var token: SecretBytes?

    func hasSameTLS(as other: Contents) -> Bool {
        authority == other.authority && chain == other.chain && key == other.key
    }
}

extension ClusterAccess.Material {
    /// For messages.
    var place: String {
        switch self {
        case .bytes: "its -data field"
        case .file(let path): path
        }
    }

    func read() throws(ClusterAccessError) -> [UInt8] {
        switch self {
        case .bytes(let secret): return secret.withUnsafeBytes { Array($0) }
        case .file(let path):
            do throws(FileProblem) { return try readFile(path) } catch { throw error.accessError }
        }
    }

    func readSecret() throws(ClusterAccessError) -> SecretBytes {
        if case .bytes(let secret) = self { return secret }
        var bytes = try read()
        do { return try SecretBytes(consuming: &bytes) } catch { throw ClusterAccessError(place, "\(error)") }
    }
}

extension ClusterAccess {
    /// - Throws: what is wrong, with the file or the context it is in.
    func tlsConfiguration(
        _ contents: Contents, certificate: ClientCertificate?
    ) throws(ClusterAccessError) -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        // For the server's last word, which nobody needs.
        configuration.shutdownTimeout = .seconds(1)
        switch authority {
        case .system: break
        case .unchecked: configuration.certificateVerification = .none
        case .these(let material):
            let roots = try certificates(contents.authority ?? [], of: "certificate-authority", in: material)
            configuration.trustRoots = .certificates(roots)
        }
        if let certificate, let chain = contents.chain, let key = contents.key {
            configuration.certificateChain = try certificates(chain, of: "client-certificate", in: certificate.chain)
                .map { .certificate($0) }
            configuration.privateKey = .privateKey(try privateKey(key, in: certificate.key))
        }
        do {
            _ = try NIOSSLContext(configuration: configuration)
        } catch {
            let place = certificate.map { $0.chain.place == $0.key.place ? $0.chain.place : "\($0.chain.place), \($0.key.place)" }
            throw ClusterAccessError(
                origin,
                certificate == nil
                    ? "these certificates cannot be used: \(error)"
                    : "client-certificate and client-key (\(place ?? "")) do not belong together: \(error)")
        }
        return configuration
    }

    private func certificates(
        _ bytes: [UInt8], of field: String, in material: Material
    ) throws(ClusterAccessError) -> [NIOSSLCertificate] {
        let certificates = (try? NIOSSLCertificate.fromPEMBytes(bytes)) ?? []
        guard !certificates.isEmpty else {
            throw ClusterAccessError(origin, "\(field) (\(material.place)) holds no certificate in PEM")
        }
        return certificates
    }

    private func privateKey(_ key: SecretBytes, in material: Material) throws(ClusterAccessError) -> NIOSSLPrivateKey {
        var bytes = key.withUnsafeBytes { Array($0) }
        defer { zero(&bytes) }
        guard let parsed = try? NIOSSLPrivateKey(bytes: bytes, format: .pem, passphraseCallback: { $0([UInt8]()) }) else {
            throw ClusterAccessError(
                origin, "client-key (\(material.place)) is no private key in PEM, or one with a passphrase")
        }
        return parsed
    }
}
