import HTTPTypes
import HostNetwork
import HummingbirdCore
import Logging
import NIOCore
import NetworkTypes
import ServiceLifecycle
import Synchronization

/// Serves :40500 on the tunnel address, which comes with the first document, and on the addresses given by flag.
struct StatusServers: Service {
    let responder: StatusResponder
    let store: UplinkStore
    let extraAddresses: [IPv4Address]
    let group: any EventLoopGroup
    let logger: Logger

    /// Enough for Envoy, a scraper and a kubelet; more wait in the backlog.
    private static let maximumConnections = 128
    private static let idleTimeout = TimeAmount.seconds(60)
    private static let maximumHeaderBytes = 8192

    func run() async throws {
        await withDiscardingTaskGroup { tasks in
            if extraAddresses.contains(where: \.isAny) {
                await serve(Slot(.any))
                return
            }
            for address in Set(extraAddresses) { tasks.addTask { await serve(Slot(address)) } }
            var tunnel: Slot?
            for await address in store.addresses.cancelOnGracefulShutdown() where !extraAddresses.contains(address) {
                await tunnel?.stop()
                let slot = Slot(address)
                tunnel = slot
                tasks.addTask { await serve(slot) }
            }
        }
    }

    /// An address that is served until it is given up.
    private final class Slot: Sendable {
        typealias StatusServer = Server<HTTP1Channel>

        let address: IPv4Address
        private let state = Mutex<(isStopped: Bool, server: StatusServer?)>((false, nil))

        init(_ address: IPv4Address) { self.address = address }

        var isStopped: Bool { state.withLock { $0.isStopped } }
        func began(_ server: StatusServer) { state.withLock { $0.server = server } }

        func stop() async {
            let server = state.withLock { state in
                state.isStopped = true
                return state.server
            }
            // It fails only when the server has ended by itself.
            try? await server?.shutdownGracefully()
        }
    }

    /// Serves one address, and tries again where it is taken or not there yet.
    private func serve(_ slot: Slot) async {
        var lastFailure = ""
        while !slot.isStopped && !Task.isShuttingDownGracefully && !Task.isCancelled {
            let server = makeServer(slot.address)
            slot.began(server)
            do {
                try await server.run()
            } catch {
                let failure = "\(error)"
                if failure != lastFailure {
                    logger.error(
                        "cannot serve the status; trying again every second",
                        metadata: ["address": "\(slot.address):\(Port.uplinkReadiness)", "reason": "\(failure)"])
                }
                lastFailure = failure
                try? await cancelWhenGracefulShutdown { try await Task.sleep(for: .seconds(1)) }
            }
        }
    }

    /// 0.0.0.0 stands for every address, of IPv6 too where the host has that: a kubelet asks a pod at its first address, of
    /// whichever family. Without IPv6 there is no such setting; where it says 1, `::` would leave IPv4 out.
    private static func host(of address: IPv4Address) -> String {
        guard address.isAny, let key = SysctlKey("net.ipv6.bindv6only") else { return "\(address)" }
        let takesBoth = (try? Sysctl.read(key)) == "0"
        return takesBoth ? "::" : "\(address)"
    }

    private func makeServer(_ address: IPv4Address) -> Server<HTTP1Channel> {
        let responder = self.responder
        var decoder = HTTP1Channel.Configuration.DecoderConfiguration()
        decoder.maxHeaderFieldSize = Self.maximumHeaderBytes
        decoder.maxHeaderListSize = Self.maximumHeaderBytes
        decoder.maxHeaderFieldCount = 100
        var quiet = logger
        quiet.logLevel = .warning
        return Server(
            childChannelSetup: HTTP1Channel(
                responder: { request, writer, _ in
                    let answer = responder.answer(method: request.method, path: request.uri.path, now: wallClockSeconds())
                    var fields = HTTPFields()
                    fields[.contentType] = answer.contentType
                    fields[.contentLength] = "\(answer.body.utf8.count)"
                    let body =
                        request.method == .head ? ResponseBody() : ResponseBody(byteBuffer: ByteBuffer(string: answer.body))
                    try await writer.write(response: HTTPResponse(status: answer.status, headerFields: fields), body: body)
                }, configuration: .init(idleTimeout: Self.idleTimeout, httpDecoderConfiguration: decoder)),
            configuration: ServerConfiguration(
                address: .hostname(Self.host(of: address), port: Int(Port.uplinkReadiness.number)),
                availableConnectionsDelegate: MaximumAvailableConnections(Self.maximumConnections)),
            eventLoopGroup: group, logger: quiet)
    }
}
