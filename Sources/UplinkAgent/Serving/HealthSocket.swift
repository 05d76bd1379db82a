import CLinuxHeaders
import Glibc
import Logging
import NIOCore
import NIOPosix
public import NetworkTypes
import ServiceLifecycle

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
        let descriptor = try HealthAddress.open { bind($0, $1, $2) == 0 ? Glibc.listen($0, 16) : -1 }
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
        let descriptor: Int32
        do throws(IOError) {
            descriptor = try HealthAddress.open { connect($0, $1, $2) }
        } catch {
            return .failure(Failure(words: "no uplink answers here: \(String(cString: strerror(error.errnoCode)).lowercased())"))
        }
        defer { close(descriptor) }
        // Any process may take the name while the uplink is away; only one of the same user is believed.
        // `struct ucred` of unix(7): process, user, group.
        var peer: (pid_t, uid_t, gid_t) = (0, 0, 0)
        var length = socklen_t(MemoryLayout.size(ofValue: peer))
        guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0, peer.1 == geteuid() else {
            return .failure(Failure(words: "another user's process answers in the uplink's place"))
        }
        var time = timeval(tv_sec: limit.wholeSeconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        var answer = [UInt8](repeating: 0, count: longest)
        var count = 0
        while count < longest {
            let got = answer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress.map { $0 + count }, longest - count) }
            if got < 0 && errno == EINTR { continue }
            if got < 0 { return .failure(Failure(words: "the uplink does not answer within \(limit.wholeSeconds) s")) }
            if got == 0 { break }
            count += got
        }
        return .success(String(decoding: answer.prefix(count), as: UTF8.self))
    }
}

/// The abstract address (unix(7)): a zero byte and the name.
private enum HealthAddress {
    /// A new socket, when `use` of it and the address has gone well.
    static func open(_ use: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32) throws(IOError) -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw IOError(errnoCode: errno, reason: "socket") }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { path in
            path.dropFirst().withMemoryRebound(to: UInt8.self) { _ = $0.update(fromContentsOf: HealthSocket.name.utf8) }
        }
        let length = socklen_t(MemoryLayout.offset(of: \sockaddr_un.sun_path) ?? 2) + 1 + socklen_t(HealthSocket.name.utf8.count)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { use(descriptor, $0, length) }
        }
        guard result == 0 else {
            let code = errno
            close(descriptor)
            throw IOError(errnoCode: code, reason: "\(HealthSocket.name)")
        }
        return descriptor
    }
}
