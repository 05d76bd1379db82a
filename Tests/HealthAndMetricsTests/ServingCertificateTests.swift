import Foundation
import Logging
import NIOSSL
import PrometheusMetrics
import Testing

@testable import HealthAndMetrics

/// Tells what is logged.
private struct Listener: LogHandler {
    let heard: @Sendable (String) -> Void
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { heard("\(event.message)") }
}

@Suite struct ServingCertificateTests {
    private let token = ["-H", "Authorization: Bearer prometheus"]

    private func server(
        _ files: CertificateFiles?, http2: Bool = false, logger: Logger = quiet,
        _ body: @escaping @Sendable (_ port: Int) async throws -> Void
    ) async throws {
        let registry = MetricRegistry()
        let reviewer = Reviewer()
        try await serving {
            MetricsServer(
                address: freePort(), security: .on(certificate: files, http2: http2, review: reviewer.review),
                registry: registry, logger: logger, onListening: $0)
        } _: {
            try await body($0)
        }
    }

    /// curl with `pair` as the only certificate it trusts, for the address it calls.
    private func asks(_ port: Int, trusting pair: TestPair) async throws -> CurlAnswer {
        let folder = try ScratchFolder()
        try pair.certificate.write(toFile: folder.path + "/ca", atomically: false, encoding: .utf8)
        return try await curl("https://127.0.0.1:\(port)/metrics", token + ["--cacert", folder.path + "/ca"])
    }

    @Test func theSelfSignedOneIsForThisHost() async throws {
        let pair = try ServingCertificate.selfSigned()
        let certificate = try #require(pair.chain.first)
        #expect(certificate.notValidBefore < time(nil) && certificate.notValidAfter > time(nil) + 9 * 365 * 86400)
        #expect(certificate._subjectAlternativeNames().count == 3)
        try await server(nil) { port in
            let answer = try await curl("https://127.0.0.1:\(port)/metrics", token + ["-k"])
            #expect(answer.status == 200)
            // Nobody vouches for it.
            await #expect(throws: ProgramFailed.self) { try await curl("https://127.0.0.1:\(port)/metrics", token) }
        }
    }

    @Test func aRotatedCertificateIsServedWithoutARestart() async throws {
        let old = try TestPair(commonName: "old")
        let new = try TestPair(commonName: "new")
        let secret = try MountedSecret(certificate: old.certificate, key: old.key)
        let (messages, logged) = AsyncStream.makeStream(of: String.self)
        let logger = Logger(label: "test") { _ in Listener(heard: { logged.yield($0) }) }
        try await server(secret.files, logger: logger) { port in
            let before = try await asks(port, trusting: old)
            #expect(before.status == 200)
            // Half a rotation: the key is not the certificate's. The last good pair stays.
            try secret.update(certificate: new.certificate, key: old.key)
            #expect(await messages.contains("keeping the metrics' last certificate"))
            let between = try await asks(port, trusting: old)
            #expect(between.status == 200)
            try secret.update(certificate: new.certificate, key: new.key)
            #expect(await messages.contains("serving the metrics with a new certificate"))
            let after = try await asks(port, trusting: new)
            #expect(after.status == 200)
            await #expect(throws: ProgramFailed.self) { try await asks(port, trusting: old) }
        }
    }

    @Test(arguments: [true, false]) func http2IsSpokenWhereItIsEnabled(enabled: Bool) async throws {
        try await server(nil, http2: enabled) { port in
            let answer = try await curl("https://127.0.0.1:\(port)/metrics", token + ["-k", "--http2"])
            #expect(answer.status == 200 && answer.version == (enabled ? "HTTP/2" : "HTTP/1.1"))
            let old = try await curl("https://127.0.0.1:\(port)/metrics", token + ["-k", "--http1.1"])
            #expect(old.status == 200 && old.version == "HTTP/1.1")
            let refused = try await curl("https://127.0.0.1:\(port)/metrics", ["-k", "--http2", "-d", "x"] + token)
            #expect(refused.status == 405)
        }
    }

    @Test(arguments: [(TLSVersion.tlsv11, false), (.tlsv12, true), (.tlsv13, true)])
    func tlsBegins(at version: TLSVersion, isSpoken: Bool) async throws {
        var client = TLSConfiguration.makeClientConfiguration()
        client.certificateVerification = .none
        client.minimumTLSVersion = .tlsv1
        client.maximumTLSVersion = version
        let tls = client
        try await server(nil) { port in
            let words = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            if isSpoken {
                let heard = try await conversation(port: port, tls: tls, words: words)
                #expect(heard.hasPrefix("HTTP/1.1 404 "))
            } else {
                await #expect(throws: (any Error).self) { try await conversation(port: port, tls: tls, words: words) }
            }
        }
    }

    @Test func whatCannotBeServedIsToldByFlagAndFile() throws {
        let pair = try TestPair(commonName: "a")
        let other = try TestPair(commonName: "b")
        func message(_ certificate: String, _ key: String, files: (CertificateFiles) -> CertificateFiles = { $0 }) throws
            -> String
        {
            let secret = try MountedSecret(certificate: certificate, key: key)
            do throws(ServingError) {
                _ = try ServingCertificate.read(files(secret.files))
                return "none"
            } catch {
                return "\(error)".replacing(secret.folder.path, with: "FOLDER")
            }
        }
        #expect(try message(pair.certificate, pair.key) == "none")
        #expect(
            try message(pair.certificate, other.key)
                == "--metrics-cert-key: the private key FOLDER/tls.key does not belong to the certificate FOLDER/tls.crt")
        #expect(
            try message("nonsense", pair.key)
                == "--metrics-cert-name: cannot read a certificate chain in PEM from FOLDER/tls.crt: there is none in it")
        #expect(
            try message(pair.certificate, pair.certificate)
                == "--metrics-cert-key: cannot read an unencrypted private key in PEM from FOLDER/tls.key: there is none in it")
        #expect(
            try message(pair.certificate, pair.key) { CertificateFiles(folder: $0.folder, certificate: "x", key: $0.key) }
                == "--metrics-cert-name: cannot read a certificate chain in PEM from FOLDER/x: No such file or directory")
        #expect(
            try message(pair.certificate, pair.key) { CertificateFiles(folder: $0.folder, key: "y") }
                == "--metrics-cert-key: cannot read an unencrypted private key in PEM from FOLDER/y: No such file or directory")
    }

    @Test func withoutTheFilesItDoesNotStart() async throws {
        let server = MetricsServer(
            address: freePort(),
            security: .on(certificate: CertificateFiles(folder: "/nowhere"), http2: false, review: Reviewer().review),
            registry: MetricRegistry(), logger: quiet)
        await #expect(throws: ServingError.self) { try await server.run() }
    }
}
