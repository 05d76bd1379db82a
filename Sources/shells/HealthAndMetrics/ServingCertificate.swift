import Crypto
import FileWatching
import FoundationEssentials
import Glibc
import Logging
import NIOCore
import NIOSSL
import ServiceLifecycle
import SwiftASN1
import Synchronization
import Syscalls
import X509

/// Where the metrics' certificate is: `--metrics-cert-path`, `--metrics-cert-name`, `--metrics-cert-key`.
public struct CertificateFiles: Hashable, Sendable {
    /// A folder, such as a mounted Secret.
    public var folder: String
    public var certificate: String
    public var key: String

    public init(folder: String, certificate: String = "tls.crt", key: String = "tls.key") {
        self.folder = folder
        self.certificate = certificate
        self.key = key
    }

    var certificatePath: String { "\(folder)/\(certificate)" }
    var keyPath: String { "\(folder)/\(key)" }
}

/// The certificate that new connections are shown; another one can take its place at any time.
final class ServingCertificate: Sendable {
    struct Pair: Sendable, Equatable {
        var chain: [NIOSSLCertificate]
        var key: NIOSSLPrivateKey
    }

    private static let retryAfter = Duration.seconds(10)

    private let current: Mutex<Pair>

    init(_ pair: Pair) { current = Mutex(pair) }

    func configuration(http2: Bool) -> TLSConfiguration {
        var configuration = Self.configuration(current.withLock { $0 })
        configuration.applicationProtocols = http2 ? ["h2", "http/1.1"] : ["http/1.1"]
        configuration.sslContextCallback = { [self] _, promise in
            let pair = current.withLock { $0 }
            var shown = NIOSSLContextConfigurationOverride()
            shown.certificateChain = pair.chain.map { .certificate($0) }
            shown.privateKey = .privateKey(pair.key)
            promise.succeed(shown)
        }
        return configuration
    }

    /// Takes what is in `files` whenever they change, until shutdown. What cannot be used leaves the last good pair in place: a
    /// certificate and its key may be written one after the other.
    func follow(_ files: CertificateFiles, logger: Logger) async {
        while !Task.isShuttingDownGracefully && !Task.isCancelled {
            do {
                // The folder too: the kubelet swaps a symbolic link in it.
                let paths = [files.folder, files.certificatePath, files.keyPath]
                for try await _ in FileWatch(paths: paths).cancelOnGracefulShutdown() { reload(files, logger: logger) }
            } catch {
                logger.error("cannot watch the metrics' certificate", metadata: ["reason": "\(error)"])
            }
            // The next watch begins with an element, and so with another look.
            try? await cancelWhenGracefulShutdown { try await Task.sleep(for: Self.retryAfter) }
        }
    }

    private func reload(_ files: CertificateFiles, logger: Logger) {
        do throws(ServingError) {
            let pair = try Self.read(files)
            let isNew = current.withLock { current in
                defer { current = pair }
                return current != pair
            }
            if isNew { logger.info("serving the metrics with a new certificate", metadata: ["path": "\(files.certificatePath)"]) }
        } catch {
            logger.warning("keeping the metrics' last certificate", metadata: ["reason": "\(error)"])
        }
    }

    /// - Throws: naming the file at fault.
    static func read(_ files: CertificateFiles) throws(ServingError) -> Pair {
        let chain: [NIOSSLCertificate]
        do {
            chain = try NIOSSLCertificate.fromPEMBytes(contents(of: files.certificatePath))
        } catch {
            throw .certificateUnreadable(flag: "--metrics-cert-name", path: files.certificatePath, cause: words(error))
        }
        let key: NIOSSLPrivateKey
        do {
            key = try NIOSSLPrivateKey(file: files.keyPath, format: .pem)
        } catch {
            throw .keyUnreadable(flag: "--metrics-cert-key", path: files.keyPath, cause: words(error))
        }
        let pair = Pair(chain: chain, key: key)
        do {
            _ = try NIOSSLContext(configuration: configuration(pair))
        } catch {
            throw .keyMismatch(certificate: files.certificatePath, key: files.keyPath)
        }
        return pair
    }

    private static func configuration(_ pair: Pair) -> TLSConfiguration {
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: pair.chain.map { .certificate($0) }, privateKey: .privateKey(pair.key))
        configuration.minimumTLSVersion = .tlsv12
        return configuration
    }

    /// NIOSSL's own reading of a certificate's file does not say why it failed.
    private static func contents(of path: String) throws -> [UInt8] {
        // The longest chain in use takes some 10 kB.
        try Descriptor.contents(of: path, limit: 1 << 20)
    }

    private static func words(_ error: any Error) -> String {
        switch error {
        case let error as SystemFailure: error.reason
        case let error as IOError: errnoText(error.errnoCode)
        default: "there is none in it"
        }
    }

    /// A pair that nobody vouches for: it keeps the tokens of scrapers from those who only listen. As controller-runtime's, it is
    /// for `localhost`; unlike it, it does not end after a year of running.
    static func selfSigned(now: Date = .now) throws(ServingError) -> Pair {
        do {
            let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
            let name = try DistinguishedName { CommonName("localhost") }
            let loopback = [[127, 0, 0, 1], Array(repeating: 0, count: 15) + [1]] as [[UInt8]]
            let certificate = try Certificate(
                version: .v3, serialNumber: .init(), publicKey: key.publicKey, notValidBefore: now - 3600,
                notValidAfter: now + 10 * 365 * 86400, issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
                extensions: try .init {
                    Critical(BasicConstraints.notCertificateAuthority)
                    Critical(KeyUsage(digitalSignature: true))
                    try ExtendedKeyUsage([.serverAuth])
                    SubjectAlternativeNames(
                        [.dnsName("localhost")] + loopback.map { .ipAddress(ASN1OctetString(contentBytes: $0[...])) })
                },
                issuerPrivateKey: key)
            let pem = try certificate.serializeAsPEM().pemString
            return Pair(
                chain: try NIOSSLCertificate.fromPEMBytes(Array(pem.utf8)),
                key: try NIOSSLPrivateKey(bytes: Array(key.serializeAsPEM().pemString.utf8), format: .pem))
        } catch {
            throw .cannotMakeCertificate(cause: "\(error)")
        }
    }
}
