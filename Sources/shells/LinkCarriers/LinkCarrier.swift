public import NIOCore
import NIOPosix
public import NetworkTypes
public import Sodium

/// A way to the edge: what makes the byte stream that the link's TLS runs over.
public enum LinkCarrier: Sendable, Equatable, CustomStringConvertible {
    /// TCP to a port of the edge. `serverName` is the name by which a port is shared with others (SNI); nil sends none. `outer` is what the
    /// port wants around a link; nil for nothing.
    case tls(host: HostAddress, port: Port, serverName: String?, outer: OuterTLS? = nil)
    /// A WebSocket through a web server, an ingress or a CDN.
    case webSocket(WebSocketEdge)
    /// A channel through the edge's sshd.
    case ssh(SSHEdge)

    public var description: String {
        switch self {
        case .tls(let host, let port, _, _): "TLS \(host.bracketed):\(port)"
        case .webSocket(let edge): "WebSocket \(edge)"
        case .ssh(let edge): "\(edge)"
        }
    }

    /// Where the TCP connection leads.
    public var address: (host: HostAddress, port: Port) {
        switch self {
        case .tls(let host, let port, _, _): (host, port)
        case .webSocket(let edge): (edge.host, edge.port)
        case .ssh(let edge): (edge.host, edge.port)
        }
    }

    var innerServerName: String? {
        switch self {
        case .tls(_, _, let name, _): name
        case .webSocket, .ssh: nil
        }
    }

    /// TLS around the link; nil where there is none.
    public var outerTLS: OuterTLS? {
        switch self {
        case .tls(_, _, _, let outer): outer
        case .webSocket(let edge): edge.outer
        case .ssh: nil
        }
    }

    /// The same with other roots and another folder of a client's certificate, for whoever ends a TLS around the link; nil leaves what is.
    public func showing(_ clientCertificate: String?, believing roots: [UInt8]?) -> LinkCarrier {
        guard var outer = outerTLS else { return self }
        outer.clientCertificate = clientCertificate ?? outer.clientCertificate
        outer.roots = outer.roots ?? roots
        switch self {
        case .tls(let host, let port, let serverName, _):
            return .tls(host: host, port: port, serverName: serverName, outer: outer)
        case .webSocket(var edge):
            edge.outer = outer
            return .webSocket(edge)
        case .ssh: return self
        }
    }
}

/// Who dials links, and whom it takes for the edge.
public struct LinkDialer: Sendable {
    private let tls: PinnedTLS
    private let pin: SHA256Digest
    /// From the first packet to the end of the handshake.
    private let timeout: TimeAmount
    private let ssh: SSHOpening?

    /// - Parameter ssh: for carriers by sshd; nil where there are none.
    public init(
        key: LinkPrivateKey, pin: SHA256Digest, timeout: TimeAmount = .seconds(10), ssh: SSHOpening? = nil
    ) throws(LinkCarrierError) {
        self.ssh = ssh
        tls = try PinnedTLS(key: key)
        self.pin = pin
        self.timeout = timeout
    }

    /// Dials, through `proxy` where there is one. `ready` gets the channel behind the link's TLS, on `eventLoop`; nothing that comes
    /// on it is lost. Fails with a `LinkCarrierError`, and `ready` is then not called, or with what `ready` throws.
    /// - Parameters:
    ///   - isNarrow: whether packets are kept small both ways, for a path that drops larger ones and tells nobody.
    ///   - limit: for the connection alone; nil for that of all.
    public func dial(
        _ carrier: LinkCarrier, through proxy: HTTPProxy?, isNarrow: Bool = false, connectingWithin limit: TimeAmount? = nil,
        on eventLoop: any EventLoop,
        ready: @escaping @Sendable (any Channel) throws -> Void
    ) -> EventLoopFuture<Void> {
        let address = carrier.address
        let target = "\(address.host.bracketed):\(address.port)"
        let (host, port) = proxy.map { ($0.host, $0.port) } ?? address
        return ClientBootstrap(group: eventLoop)
            .connectTimeout(limit ?? timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try LinkSocket.setUp(channel, isNarrow: isNarrow) }
            }
            .connect(host: host.description, port: Int(port.number))
            .flatMapErrorThrowing { throw LinkCarrierError(.connecting(to: "\(host.bracketed):\(port)"), cause: "\($0)") }
            .flatMap { channel in
                let deadline = eventLoop.scheduleTask(in: timeout) { channel.close(promise: nil) }
                return tunnel(channel, through: proxy, to: target)
                    .flatMap { carrier.outerTLS?.shakeHands(on: channel) ?? channel.eventLoop.makeSucceededVoidFuture() }
                    .flatMap { open(carrier, on: channel) }
                    .flatMap { shakeHands(channel, carrier, ready) }
                    .always { result in
                        deadline.cancel()
                        if case .failure = result { channel.close(promise: nil) }
                    }
            }
    }

    private func tunnel(_ channel: any Channel, through proxy: HTTPProxy?, to target: String) -> EventLoopFuture<Void> {
        guard let proxy else { return channel.eventLoop.makeSucceededVoidFuture() }
        let promise = channel.eventLoop.makePromise(of: Void.self)
        do {
            if let tls = try proxy.outerTLS() { try channel.pipeline.syncOperations.addHandler(tls) }
            try channel.pipeline.syncOperations.addHandler(ProxyConnecting(proxy, target: target, done: promise))
        } catch {
            promise.fail(error)
        }
        return promise.futureResult
    }

    private func open(_ carrier: LinkCarrier, on channel: any Channel) -> EventLoopFuture<Void> {
        do {
            switch carrier {
            case .tls: return channel.eventLoop.makeSucceededVoidFuture()
            case .webSocket(let edge): return try edge.open(on: channel)
            case .ssh(let edge):
                guard let ssh else { throw LinkCarrierError(.ssh("\(edge)"), cause: "this program has no SSH") }
                return try ssh(edge, channel)
            }
        } catch {
            return channel.eventLoop.makeFailedFuture(error)
        }
    }

    private func shakeHands(
        _ channel: any Channel, _ carrier: LinkCarrier, _ ready: @escaping @Sendable (any Channel) throws -> Void
    ) -> EventLoopFuture<Void> {
        let promise = channel.eventLoop.makePromise(of: Void.self)
        do {
            let handler = try tls.client(pin: pin, serverName: carrier.innerServerName)
            let handshake = LinkHandshake(
                handler, timeout: timeout,
                ready: { [pin] channel, shown in
                    guard shown == pin else {
                        let error = LinkCarrierError(.pin, cause: "its key is another than the pinned one")
                        promise.fail(error)
                        throw error
                    }
                    do {
                        try ready(channel)
                        promise.succeed()
                    } catch {
                        promise.fail(error)
                        throw error
                    }
                },
                failed: { promise.fail($0.blaming(carrier.outerTLS)) })
            try channel.pipeline.syncOperations.addHandlers([handler, handshake])
        } catch {
            promise.fail(LinkCarrierError(.innerTLS, cause: "\(error)"))
        }
        return promise.futureResult
    }
}
