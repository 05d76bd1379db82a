public import NetworkTypes

/// A connection to an SSH server that is kept and runs one command after the other.
///
/// A thread of its own holds the session; callers from any task only wait. The connection ends with `close()`, with its
/// last reference, or when the peer goes. A command that fails in any way but with a status of its own, cancelled ones
/// too, ends it as well: connect anew.
public final class SSHConnection: Sendable {
    /// What the server proved to hold, and the policy accepted.
    public let hostKey: HostKey
    private let thread: ConnectionThread

    private init(hostKey: HostKey, thread: ConnectionThread) {
        self.hostKey = hostKey
        self.thread = thread
    }

    deinit { thread.requestClose() }

    /// Connects, checks the host key and logs in, all within `timeouts.connect`.
    public static func connect(
        to host: HostAddress, port: Port = .ssh, credentials: SSHCredentials, hostKeyPolicy: HostKeyPolicy,
        timeouts: SSHTimeouts = SSHTimeouts()
    ) async throws(SSHError) -> SSHConnection {
        try await connect(
            to: host, port: port, credentials: credentials, hostKeyPolicy: hostKeyPolicy, timeouts: timeouts,
            socket: Dialer.ownSocket)
    }

    /// - Parameter socket: makes a socket of that family, whose calls never wait: tests make theirs in a network namespace.
    static func connect(
        to host: HostAddress, port: Port, credentials: SSHCredentials, hostKeyPolicy: HostKeyPolicy,
        timeouts: SSHTimeouts, socket: @escaping Dialer.Socket
    ) async throws(SSHError) -> SSHConnection {
        let thread = try ConnectionThread(endpoint: Endpoint(user: credentials.user, host: host, port: port))
        let opening = await thread.open(
            credentials: credentials, policy: hostKeyPolicy, timeouts: timeouts, socket: socket)
        return SSHConnection(hostKey: try opening.get(), thread: thread)
    }

    /// Runs a command; further ones wait for their turn. When the calling task is cancelled, one that waits is forgotten,
    /// and one that runs is cut off together with the connection.
    ///
    /// A command whose connection is cut sees end of file on its input, as if the input were whole: it must know how much
    /// to expect.
    /// - Parameter name: what errors call the command; nil for its text.
    /// - Parameter ready: what must be in its standard output before its input is sent; where the command ends before that, nothing is
    ///   sent at all. Nil to send at once. Not together with `onOutput`.
    /// - Parameter onOutput: called on the connection's thread with each piece as it arrives, instead of collecting it.
    /// - Returns: how the command ended, also when its status is not 0.
    public func execute(
        _ command: RemoteCommand, name: String? = nil, input: ByteSource = .empty, ready: ReadyMark? = nil,
        limits: ExecLimits = ExecLimits(), onOutput: (@Sendable (ExecOutput) -> Void)? = nil
    ) async throws(SSHError) -> ExecResult {
        try await thread.execute(
            ExecRequest(
                command: command, name: name ?? command.description, input: input, ready: ready, limits: limits,
                onOutput: onOutput)
        ).get()
    }

    /// Whether another command can be tried, as far as this side knows.
    public var isAlive: Bool { thread.isAlive }

    public var statistics: SSHStatistics { thread.statistics.current }

    /// Calls `body` once the connection is no more, whoever ended it. A peer that went without a word is noticed after some
    /// `SSHTimeouts.idle`.
    public func onEnd(_ body: @escaping @Sendable () async -> Void) {
        // Without `self`, whose last reference ends the connection.
        Task { [thread] in
            await thread.waitForEnd()
            await body()
        }
    }

    /// Ends the connection, and with it a command that runs. Returns once its session and socket are gone.
    public func close() async {
        thread.requestClose()
        await thread.waitForEnd()
    }
}
