import LinkProtocol
import NIOCore
import NetworkTypes

/// Takes the PROXY header that Envoy writes, says who connected to Envoy, and gets out of the way; a connection that begins with anything
/// else is cut without a word.
final class ProxyHeaderHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let ready: (any Channel, String) throws -> Void
    private let failed: () -> Void
    private var reader = ProxyHeaderReader()
    private var isDone = false

    /// What `ready` adds to the pipeline gets all bytes that came after the header. One of both is called, once.
    init(ready: @escaping (any Channel, String) throws -> Void, failed: @escaping () -> Void) {
        self.ready = ready
        self.failed = failed
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isDone else { return context.fireChannelRead(data) }
        var buffer = unwrapInboundIn(data)
        var offset = 0
        let header = reader.read(buffer.readableBytesSpan, &offset)
        guard let header else { return }
        isDone = true
        guard case .source(let source) = header else { return fail(context) }
        do {
            try ready(context.channel, source.text)
        } catch {
            return context.close(promise: nil)
        }
        buffer.moveReaderIndex(forwardBy: offset)
        if buffer.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(buffer)) }
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    private func fail(_ context: ChannelHandlerContext) {
        failed()
        context.close(promise: nil)
    }
}

extension ProxySource {
    /// As people write it: `192.0.2.7:4711`, `[2001:db8::7]:4711`.
    var text: String {
        if let address = IPv4Address(bytes: address) { return "\(address):\(port)" }
        return IPv6Address(bytes: address).map { "[\($0)]:\(port)" } ?? "port \(port)"
    }
}
