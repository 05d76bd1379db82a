import CLinuxHeaders
import Glibc
import Logging
import NIOCore
import NIOPosix
public import NetworkTypes
import ServiceLifecycle
import Syscalls

/// Where `uplink healthz` asks whether the uplink lives: an abstract unix socket, which nobody outside of the pod's network namespace
/// reaches, and which needs no file.
///
/// The answer passes the event loop of the status servers, and tells of the keeper's beat: a process in which either hangs fails. What
/// the uplink itself is held up by follows on a line of its own, and makes no probe fail.
struct HealthSocket: Service {
    let store: UplinkStore
    let group: any EventLoopGroup
    let logger: Logger

    static let name = "tidegate-uplink"
    /// Without a beat of the keeper, which has one every second, but may have a change of the host under way.
    static let patience = Duration.seconds(60)

    func run() async throws {
        var lastFailure: String?
        while !Task.isShuttingDownGracefully && !Task.isCancelled {
            do {
                let server = try await listen()
                try? await gracefulShutdown()
                try? await server.close()
                return
            } catch {
                let failure = "\(error)"
                if failure != lastFailure {
                    logger.error(
                        "cannot listen for `uplink healthz`; trying again every second", metadata: ["reason": "\(failure)"])
                }
                lastFailure = failure
                try? await cancelWhenGracefulShutdown { try await Task.sleep(for: .seconds(1)) }
            }
        }
    }

    /// - Returns: why the process must be taken for hung; nil when it lives.
    static func problem(lastBeat: Duration?, now: Duration) -> String? {
        guard let lastBeat, now - lastBeat > patience else { return nil }
        return "the keeper of the tunnel has not moved for \((now - lastBeat).wholeSeconds) s"
    }

    private func listen() async throws -> any Channel {
        let store = store
        let socket = try Descriptor.socket(AF_UNIX)
        try socket.bind(to: try SocketAddress(abstract: Self.name))
        try socket.listen(backlog: 16)
        // The channel closes the one that it is given.
        let descriptor = try calling("dup") { fcntl(socket.number, F_DUPFD_CLOEXEC, 0) }
        return try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(HealthAnswer(store)) }
            }
            .withBoundSocket(descriptor).get()
    }
}

/// Says what there is to say to whoever comes, and leaves.
private final class HealthAnswer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let store: UplinkStore

    init(_ store: UplinkStore) { self.store = store }

    func channelActive(context: ChannelHandlerContext) {
        let condition = store.now
        let answer = LivenessAnswer(
            problem: HealthSocket.problem(lastBeat: condition.lastBeat, now: Moment.steadyTime()), complaint: condition.complaint)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: answer.text)))
            .assumeIsolated().whenComplete { _ in context.close(promise: nil) }
    }
}

/// `uplink healthz`.
public enum HealthQuestion {
    /// Bytes of the answer.
    private static let longest = 2048

    /// Asks the uplink of this network namespace.
    /// - Parameter limit: until the answer has come; whole seconds.
    public static func ask(within limit: Duration) -> LivenessAnswer {
        switch answer(within: limit) {
        case .success(let words): LivenessAnswer(parsing: words)
        case .failure(let failure): LivenessAnswer(problem: failure.words)
        }
    }

    private struct Failure: Error { var words: String }

    private static func answer(within limit: Duration) -> Result<String, Failure> {
        let socket: Descriptor
        do throws(SystemFailure) {
            socket = try Descriptor.socket(AF_UNIX)
            try socket.connect(to: try SocketAddress(abstract: HealthSocket.name))
            try socket.setOption(SOL_SOCKET, SO_RCVTIMEO, timeval(tv_sec: limit.wholeSeconds, tv_usec: 0))
        } catch {
            return .failure(Failure(words: "no uplink answers here: \(error.reason.lowercased())"))
        }
        // Any process may take the name while the uplink is away; only one of the same user is believed.
        guard socket.peer?.user == geteuid() else {
            return .failure(Failure(words: "another user's process answers in the uplink's place"))
        }
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: longest)
        while answer.count < longest {
            guard let count = try? socket.read(into: &buffer, atMost: longest - answer.count) else {
                return .failure(Failure(words: "the uplink does not answer within \(limit.wholeSeconds) s"))
            }
            if count == 0 { break }
            answer += buffer.prefix(count)
        }
        return .success(String(decoding: answer, as: UTF8.self))
    }
}
