import NIOCore
import NIOPosix
import NetworkTypes
import Reconcilers
import Testing

@testable import Controller

/// Says the same to whatever comes.
private final class Answering: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let text: String

    init(_ text: String) { self.text = text }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
    }
}

/// What the pods of uplinks are asked, and what becomes of answers that are none of an uplink's. With the kernel tests, for a question
/// waits for a second at most.
@Suite(.serialized) struct UplinkQuestionKernelTests {
    private static let local = IPAddress("127.0.0.1")

    private func pod(ready: Bool = false, leaving: Bool = false, _ address: IPAddress? = local) -> UplinkPods.Pod {
        UplinkPods.Pod(uid: "u", isReady: ready, isLeaving: leaving, trouble: nil, address: address)
    }

    /// What is said of a pod that answers whatever it is asked with these bytes, and of others beside it.
    private func complaint(answering text: String?, _ pods: [Int: UplinkPods.Pod]) async throws -> String? {
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let text { try channel.pipeline.syncOperations.addHandler(Answering(text)) }
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try Port(try #require(server.localAddress?.port))
        let words = await UplinkQuestion(port: port).complaint(of: pods)
        try await server.close()
        return words
    }

    private func reply(_ body: String, _ status: String = "200 OK", _ fields: String = "") -> String {
        "HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\(fields)\r\n\(body)"
    }

    @Test func theFirstThatIsHeldUpIsQuoted() async throws {
        let answer = reply("alive\nthe tunnel's network overlaps eth0\n")
        #expect(
            try await complaint(answering: answer, [2: pod(), 1: pod(), 0: pod(ready: true)])
                == "uplink 1: the tunnel's network overlaps eth0")
        #expect(try await complaint(answering: answer, [0: pod(leaving: true), 1: pod(nil), 2: pod(ready: true)]) == nil)
        #expect(try await complaint(answering: answer, [:]) == nil)
    }

    @Test(arguments: ["alive\n", "alive", "", "alive\n\n", "<html>\nyes\n", "the keeper has not been heard of\nno\n"])
    func nothingIsMadeOfOtherAnswers(body: String) async throws {
        #expect(try await complaint(answering: reply(body), [0: pod()]) == nil)
    }

    @Test func anAnswerOfSomebodyElseCostsLittle() async throws {
        #expect(try await complaint(answering: reply("alive\n" + String(repeating: "x", count: 100_000)), [0: pod()]) == nil)
        #expect(try await complaint(answering: reply("alive\nno\n", "500 Internal Server Error"), [0: pod()]) == nil)
        #expect(try await complaint(answering: reply("", "302 Found", "Location: http://127.0.0.1:1/\r\n"), [0: pod()]) == nil)
        #expect(try await complaint(answering: "garbage\r\n\r\n", [0: pod()]) == nil)
        #expect(try await complaint(answering: reply("alive\nred \u{1B}[31m\n"), [0: pod()]) == #"uplink 0: red \u{1b}[31m"#)
        #expect(try await complaint(answering: nil, [0: pod()]) == nil, "silence")
    }
}
