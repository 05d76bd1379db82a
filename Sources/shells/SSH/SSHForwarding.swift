import Glibc
public import NetworkTypes
import Synchronization
public import Syscalls

/// Where forwarded connections go.
public enum ForwardPlace: Hashable, Sendable, CustomStringConvertible {
    /// TCP. The host is a name or an address, as whoever dials looks it up.
    case port(host: String, Port)
    /// A unix socket: an absolute path.
    case socket(String)

    public var description: String {
        switch self {
        case .port(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .socket(let path): path
        }
    }
}

/// Connections through an SSH server, from here to there or the reverse: one session, and a thread for it.
///
/// SSH has no word for a reset: what is reset on one side ends on the other. One connection's failure is its own.
public final class SSHForwarding: Sendable {
    public enum Way: Sendable {
        /// What `listener`, which does not wait, accepts goes to a place that the server dials.
        case toServer(listener: Descriptor, ForwardPlace)
        /// The server listens, at 0 for a port of its choice, and what comes goes to a place that this side dials.
        case fromServer(host: String, port: UInt16, ForwardPlace)
    }

    /// Told on the session's thread, which goes on when they return.
    public struct Events: Sendable {
        /// Connections are taken; with the key that the server proved to hold, and the port that it listens at (0 where it does not).
        public var ready: @Sendable (HostKey, UInt16) -> Void
        /// A connection came to nothing, in words.
        public var failed: @Sendable (String) -> Void

        public init(ready: @escaping @Sendable (HostKey, UInt16) -> Void, failed: @escaping @Sendable (String) -> Void) {
            self.ready = ready
            self.failed = failed
        }
    }

    /// Connections at a time of each way. More wait in the listener's backlog, or are turned down by libssh2.
    public static let mostToServer = 256
    public static let mostFromServer = 100

    private let way: Way
    private let endpoint: Endpoint
    private let credentials: SSHCredentials
    private let policy: HostKeyPolicy
    private let timeouts: SSHTimeouts
    private let events: Events
    private let wake: WakeSignal
    private let isStopped = Atomic(false)

    /// - Throws: where this host has no descriptor left.
    public init(
        _ way: Way, by host: HostAddress, port: Port = .ssh, credentials: SSHCredentials, hostKeyPolicy: HostKeyPolicy,
        timeouts: SSHTimeouts = SSHTimeouts(), events: Events
    ) throws(SSHError) {
        self.way = way
        endpoint = Endpoint(user: credentials.user, host: host, port: port)
        self.credentials = credentials
        policy = hostKeyPolicy
        self.timeouts = timeouts
        self.events = events
        do { wake = try WakeSignal() } catch { throw endpoint.failure(.outOfResources("eventfd: \(errnoText(error.code))")) }
    }

    /// Logs in and forwards until the session ends, or the task is cancelled, which ends it.
    /// - Returns: why it ended.
    public func run() async -> SSHError {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                do throws(SystemFailure) {
                    try startThread(named: "ssh-forwarding") { [self] in continuation.resume(returning: converse()) }
                } catch {
                    continuation.resume(
                        returning: endpoint.failure(.outOfResources("no thread for a connection: \(errnoText(error.code))")))
                }
            }
        } onCancel: {
            isStopped.store(true, ordering: .relaxed)
            wake.raise()
        }
    }

    private func converse() -> SSHError {
        do throws(SSHError) {
            let (session, key) = try Session.establish(
                endpoint, credentials: credentials, policy: policy, timeouts: timeouts, socket: Dialer.ownSocket,
                statistics: Wire.Statistics(), wake: wake,
                interruption: { [self] in isStopped.load(ordering: .relaxed) ? .closing : nil })
            defer { session.disconnect() }
            let loop = ForwardingLoop(session, way, failed: events.failed)
            try loop.run { [events] port in events.ready(key, port) }
        } catch {
            return error
        }
    }
}
