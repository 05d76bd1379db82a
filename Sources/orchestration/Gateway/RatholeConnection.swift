import LinkStreams
import NIOCore
import NetworkTypes
import RemoteDocuments
import Sodium
import TunnelProtocols

/// A connection of a client of rathole, from its first byte: it becomes the control connection of a port, or a data connection.
final class RatholeConnection: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum State {
        case hello
        /// `key` is nil for a service that is not there: whoever has no token cannot tell.
        case proof(key: RemotePort.Key?, nonce: [UInt8])
        case control
        case parked(RatholeClients.Session)
        case datagrams(Rathole.DatagramReader, (Rathole.Datagram) -> Void)
        case over
    }

    let channel: any Channel
    private let clients: RatholeClients
    private let document: GatewayDocument
    private let password: String
    /// It showed who it is.
    private let known: () -> Void
    private var state = State.hello
    private var gathered: [UInt8] = []

    init(
        _ channel: any Channel, clients: RatholeClients, document: GatewayDocument, password: String, known: @escaping () -> Void
    ) {
        self.channel = channel
        self.clients = clients
        self.document = document
        self.password = password
        self.known = known
    }

    func close() { channel.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) {
        leavePool()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .inputClosed? = event as? ChannelEvent else { return context.fireUserInboundEventTriggered(event) }
        leavePool()
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func leavePool() {
        guard case .parked(let session) = state else { return }
        state = .over
        session.unpark(self)
    }

    // MARK: the handshake

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        switch state {
        case .datagrams: readDatagrams(buffer, context)
        case .over: break
        // Nothing comes on either.
        case .control, .parked: context.close(promise: nil)
        case .hello, .proof:
            gathered += buffer.readableBytesView
            handshake(context)
        }
    }

    private func handshake(_ context: ChannelHandlerContext) {
        if case .hello = state {
            guard gathered.count >= Rathole.helloSize else { return }
            let hello = Rathole.Hello(Array(gathered.prefix(Rathole.helloSize)))
            gathered.removeFirst(Rathole.helloSize)
            switch hello {
            case nil: return context.close(promise: nil)
            case .data(let id)?: return park(id, context)
            case .control(let service)?:
                let port = document.ports.first { Rathole.digest(ofService: $0.ratholeName) == service }
                guard let nonce = try? SecretBytes.random(count: Rathole.authenticationSize).withUnsafeBytes({ Array($0) }) else {
                    return context.close(promise: nil)
                }
                state = .proof(key: port?.key, nonce: nonce)
                write(Rathole.challenge(nonce: nonce), context)
            }
        }
        if case .proof(let key, let nonce) = state, gathered.count >= Rathole.authenticationSize {
            let proof = Rathole.proof(token: Array(password.utf8), nonce: nonce)
            // Digests of both: their comparison tells nothing.
            let isRight = SHA256.digest(of: Array(gathered.prefix(Rathole.authenticationSize))) == SHA256.digest(of: proof)
            guard isRight, let key, gathered.count == Rathole.authenticationSize else {
                write(Rathole.refused, context)
                return context.close(promise: nil)
            }
            gathered = []
            known()
            write(Rathole.accepted, context)
            state = .control
            clients.began(key, session: proof, on: channel)
        }
    }

    private func park(_ id: [UInt8], _ context: ChannelHandlerContext) {
        guard let session = clients.session(of: id), gathered.isEmpty else { return context.close(promise: nil) }
        known()
        state = .parked(session)
        if !session.park(self) {
            state = .over
            context.close(promise: nil)
        }
    }

    private func write(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
    }

    // MARK: data

    /// Carries a visitor's connection from now on.
    func start(joining visitor: HeldConnection) {
        state = .over
        channel.writeAndFlush(ByteBuffer(bytes: Rathole.startTCP), promise: nil)
        do {
            channel.pipeline.syncOperations.removeHandler(self, promise: nil)
            try visitor.join(channel)
        } catch {
            LinkConnection.abort(channel)
        }
    }

    /// Carries the datagrams of all visitors from now on.
    func start(_ received: @escaping (Rathole.Datagram) -> Void) {
        state = .datagrams(Rathole.DatagramReader(), received)
        channel.writeAndFlush(ByteBuffer(bytes: Rathole.startUDP), promise: nil)
    }

    private func readDatagrams(_ buffer: ByteBuffer, _ context: ChannelHandlerContext) {
        guard case .datagrams(var reader, let received) = state else { return }
        var offset = 0
        do throws(Rathole.Fault) {
            while let datagram = try reader.read(buffer.readableBytesSpan, &offset) { received(datagram) }
            state = .datagrams(reader, received)
        } catch {
            context.close(promise: nil)
        }
    }
}
