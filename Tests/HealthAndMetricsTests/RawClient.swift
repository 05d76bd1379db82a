import NIOCore
import NIOPosix
import NIOSSL

/// Connects to 127.0.0.1, says `words` and nothing more, and listens until the other side ends the connection.
/// - Parameters:
///   - tls: nil for none.
///   - onAnswer: called when something is heard.
func conversation(
    port: Int, tls: TLSConfiguration? = nil, words: String, onAnswer: @Sendable () -> Void = {}
) async throws -> String {
    let context = try tls.map { try NIOSSLContext(configuration: $0) }
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connect(host: "127.0.0.1", port: port) { channel in
            channel.eventLoop.makeCompletedFuture {
                if let context {
                    try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil))
                }
                return try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
            }
        }
    return try await channel.executeThenClose { inbound, outbound in
        if !words.isEmpty { try await outbound.write(ByteBuffer(string: words)) }
        var heard = ByteBuffer()
        for try await var part in inbound {
            heard.writeBuffer(&part)
            onAnswer()
        }
        return String(buffer: heard)
    }
}
