public import Logging
public import NetworkTypes
public import SSH
public import ServiceLifecycle
import Synchronization
import Syscalls
import Timing

/// Keeps one forwarding through an SSH server up: dials again when it ends, and tells how it is.
public final class SSHTunnel: Service {
    public struct Settings: Sendable {
        public var host: HostAddress
        public var port: Port
        public var credentials: SSHCredentials
        public var hostKeys: HostKeyPolicy
        public var direction: Direction
        public var timeouts: SSHTimeouts

        public init(
            host: HostAddress, port: Port, credentials: SSHCredentials, hostKeys: HostKeyPolicy, direction: Direction,
            timeouts: SSHTimeouts
        ) {
            self.host = host
            self.port = port
            self.credentials = credentials
            self.hostKeys = hostKeys
            self.direction = direction
            self.timeouts = timeouts
        }
    }

    /// From where connections come, and where they go.
    public enum Direction: Sendable {
        case toServer(LocalPlace, ForwardPlace)
        /// The server listens at a port; its sockets cannot be listened at (libssh2 knows no forwarded-streamlocal@openssh.com).
        case fromServer(host: String, Port, LocalPlace)
    }

    private let settings: Settings
    private let status = Mutex(TunnelStatus())
    private let notifier: ServiceNotifier?
    private let logger: Logger

    /// How long connections wait here for a session that is not there; then they are reset, for somebody may know another way.
    private static let patience = Duration.seconds(10)

    /// - Parameter notifier: who is told what systemd wants to know; nil for nobody.
    public init(_ settings: Settings, notifier: ServiceNotifier? = nil, logger: Logger) {
        self.settings = settings
        self.notifier = notifier
        self.logger = logger
    }

    /// Why connections are not forwarded now; nil while they are.
    public var problem: String? { status.withLock(\.problem) }

    /// Until graceful shutdown, or cancellation.
    /// - Throws: where the local side cannot be listened at.
    public func run() async throws {
        let (listener, way): (LocalListener?, SSHForwarding.Way)
        switch settings.direction {
        case .toServer(let local, let remote):
            let opened = try LocalListener(local)
            (listener, way) = (opened, .toServer(listener: opened.descriptor, remote))
        case .fromServer(let host, let port, let local):
            (listener, way) = (nil, .fromServer(host: host, port: port.number, local.place))
        }
        await cancelWhenGracefulShutdown { [self] in await keep(way, listener) }
        notifier?.tell("STOPPING=1")
        listener?.close()
    }

    private func keep(_ way: SSHForwarding.Way, _ listener: LocalListener?) async {
        var backoff = Backoff()
        while !Task.isCancelled {
            let error = await forward(way)
            if Task.isCancelled { return }
            let words = "\(error)"
            let (isNews, wasUp) = status.withLock { $0.down(words, now: .now) }
            if wasUp { backoff.succeeded(now: .now) }
            if isNews {
                logger.log(
                    level: error.needsUser ? .error : .warning, "the tunnel is down; it is dialed again",
                    metadata: ["reason": "\(words)"])
            }
            notifier?.tell("STATUS=down: \(words)")
            let pause = backoff.next(now: .now, random: .random(in: 0..<1), retryAfter: nil)
            await rest(for: pause, listener)
        }
    }

    private func forward(_ way: SSHForwarding.Way) async -> SSHError {
        let events = SSHForwarding.Events(
            ready: { [self] key, port in up(key, port) },
            failed: { [logger] words in logger.warning("a connection was not forwarded", metadata: ["reason": "\(words)"]) })
        do throws(SSHError) {
            return try await SSHForwarding(
                way, by: settings.host, port: settings.port, credentials: settings.credentials, hostKeyPolicy: settings.hostKeys,
                timeouts: settings.timeouts, events: events
            ).run()
        } catch {
            return error
        }
    }

    private func up(_ key: HostKey, _ port: UInt16) {
        status.withLock { $0.up() }
        let (from, to) =
            switch settings.direction {
            case .toServer(let local, let remote): ("\(local)", "\(remote)")
            case .fromServer(let host, let port, let local): ("\(ForwardPlace.port(host: host, port))", "\(local)")
            }
        logger.info("forwarding", metadata: ["from": "\(from)", "to": "\(to)", "hostKey": "\(key)"])
        notifier?.tell("READY=1\nSTATUS=forwarding \(from) to \(to)")
    }

    /// Who waits too long is turned away meanwhile.
    private func rest(for pause: Duration, _ listener: LocalListener?) async {
        let end = ContinuousClock.now + pause
        while .now < end, !Task.isCancelled {
            try? await Task.sleep(until: min(end, .now + .milliseconds(200)), clock: .continuous)
            if let since = status.withLock(\.downSince), .now - since > Self.patience { listener?.turnAway() }
        }
    }
}

/// What is known of the tunnel.
struct TunnelStatus {
    private(set) var problem: String? = "the tunnel is being dialed"
    /// Nil while it is up.
    private(set) var downSince: ContinuousClock.Instant? = .now
    private var told: String?

    mutating func up() { (problem, downSince, told) = (nil, nil, nil) }

    /// - Returns: whether this is to be told, and whether it was up.
    mutating func down(_ words: String, now: ContinuousClock.Instant) -> (isNews: Bool, wasUp: Bool) {
        let wasUp = problem == nil
        if wasUp || downSince == nil { downSince = now }
        problem = words
        defer { told = words }
        return (told != words, wasUp)
    }
}
