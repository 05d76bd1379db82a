import Glibc
import HTTPServing
import NIOCore
import NIOPosix

/// The status as the edge asks for it by links: each question is a socket pair of this process, so that nobody else can ask here, or
/// take the place of who does.
final class LinkDoor: Sendable {
    private let loop: any EventLoop
    private let listener: NIOLoopBoundBox<HTTPConnections?>
    private let settings: HTTPConnections.Settings

    init(_ responder: StatusResponder, group: any EventLoopGroup) {
        let loop = group.next()
        self.loop = loop
        listener = .makeEmptyBox(valueType: HTTPConnections.self, eventLoop: loop)
        settings = HTTPConnections.Settings(limits: .init(total: 512, ofOneSource: 512), idle: .seconds(60)) {
            responder.answer($0, at: .link, on: $1)
        }
    }

    /// The asker's end of a new connection, whose owner the caller is; nil where there is no room for one.
    func connect() -> CInt? {
        var ends: [CInt] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { return nil }
        let (listener, settings) = (listener, settings)
        ClientBootstrap(group: loop)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let shared = listener.value ?? HTTPConnections(settings)
                    listener.value = shared
                    try channel.pipeline.syncOperations.addHandlers([GentleClose(), Admission(shared)])
                }
            }
            .withConnectedSocket(ends[0])
            .whenFailure { _ in }
        return ends[1]
    }
}

/// Makes a close an end of what is written, until the other side has ended too. A unix socket that is closed is hung up for both directions, and
/// who has not read the answer by then loses it: a TCP connection's end would still wait behind it.
private final class GentleClose: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer

    private static let patience = TimeAmount.seconds(10)

    private var isClosing = false

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode == .all, !isClosing else { return context.close(mode: mode, promise: promise) }
        isClosing = true
        context.close(mode: .output, promise: promise)
        let channel = context.channel
        context.eventLoop.scheduleTask(in: Self.patience) { channel.close(promise: nil) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if isClosing, case .inputClosed? = event as? ChannelEvent { return context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    /// The other side has all that it wanted.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if isClosing { context.close(promise: nil) } else { context.fireErrorCaught(error) }
    }
}
