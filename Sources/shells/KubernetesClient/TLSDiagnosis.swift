import Glibc
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// Finds out why a server's certificate was not accepted, which BoringSSL does not tell: makes one more connection that takes
/// the certificates down and ends before anything is sent or trusted.
struct TLSDiagnosis: Sendable {
    let access: ClusterAccess
    let eventLoops: any EventLoopGroup

    /// - Parameter configuration: the one that did not accept the server.
    func explain(_ cause: String, _ configuration: TLSConfiguration?) async -> String {
        guard var configuration else { return cause }
        configuration.certificateChain = []
        configuration.privateKey = nil
        guard let context = try? NIOSSLContext(configuration: configuration),
            let chain = try? await presentedChain(context), !chain.isEmpty
        else { return cause }
        return "\(cause): \(verdict(chain, now: time(nil)))"
    }

    private func presentedChain(_ context: NIOSSLContext) async throws -> [NIOSSLCertificate] {
        let promise = eventLoops.next().makePromise(of: [NIOSSLCertificate].self)
        let name = access.tlsServerName ?? access.server.host
        let isAddress = (try? SocketAddress(ipAddress: name, port: 0)) != nil
        let channel = try await ClientBootstrap(group: promise.futureResult.eventLoop)
            .connectTimeout(.seconds(5))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = try NIOSSLClientHandler(
                        context: context, serverHostname: isAddress ? nil : name,
                        customVerificationCallback: { chain, verdict in
                            promise.succeed(chain)
                            verdict.succeed(.failed)
                        })
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
            .connect(host: access.server.host, port: access.server.port).get()
        channel.closeFuture.whenComplete { _ in promise.fail(ChannelError.eof) }
        let limit = channel.eventLoop.scheduleTask(in: .seconds(5)) { channel.close(promise: nil) }
        defer { limit.cancel() }
        let chain = try await promise.futureResult.get()
        channel.close(promise: nil)
        return chain
    }

    /// - Parameter now: seconds since 1970.
    func verdict(_ chain: [NIOSSLCertificate], now: Int) -> String {
        for (depth, certificate) in chain.enumerated() {
            let which = depth == 0 ? "it" : "the certificate \(certificate) above it"
            if certificate.notValidAfter < now {
                return "\(which) expired on \(date(certificate.notValidAfter)); renew it (this machine's date: \(date(now)))"
            }
            if certificate.notValidBefore > now {
                return
                    "\(which) is valid from \(date(certificate.notValidBefore)) only; is this machine's date right (\(date(now)))?"
            }
        }
        let reason =
            switch access.authority {
            case .these(let material):
                // An intermediate alone will not do: BoringSSL wants the root, where Go takes any certificate that it is given.
                "certificate-authority (\(material.place)) holds no root certificate that vouches for it"
            case .system, .unchecked: "none of the system's authorities vouches for it"
            }
        return "it comes from an unknown authority: \(reason)"
    }

    private func date(_ seconds: Int) -> String {
        var seconds = seconds
        var parts = tm()
        gmtime_r(&seconds, &parts)
        var text = [CChar](repeating: 0, count: 32)
        strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
