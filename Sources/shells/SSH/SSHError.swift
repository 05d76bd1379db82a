public import NetworkTypes

/// Connecting or running a command failed. Its text names what was tried, where, why it failed and what to do next; it
/// holds no secret, and what came from the peer is made safe to print.
public struct SSHError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What was being done.
    public enum Step: Equatable, Sendable {
        case connecting
        case handshake
        case authentication
        case openingChannel
        case running(command: String)
        case idle
    }

    /// How far a peer came that then fell silent.
    public enum Heard: Equatable, Sendable { case nothing, greeting, keyExchange }

    /// One address that was tried.
    public struct Attempt: Equatable, Sendable {
        public let address: String
        /// The system's words, such as `Connection refused`.
        public let failure: String
    }

    /// Which algorithms two sides negotiate (RFC 4253, section 7.1).
    public enum AlgorithmKind: String, Sendable {
        case keyExchange = "key exchange"
        case hostKey = "host key"
        case cipher
        case mac = "MAC"
    }

    public enum Reason: Equatable, Sendable {
        /// The address is a name nobody could look up.
        case nameUnresolvable(String)
        case unreachable([Attempt])
        /// The host answered on every address, but nothing listens on the port.
        case refused([Attempt])
        case connectTimedOut(after: Duration, [Attempt])
        /// The peer took the connection and then fell silent.
        case handshakeTimedOut(after: Duration, heard: Heard)
        case authenticationTimedOut(after: Duration)
        /// Something else listens on the port: what it seems to be, in words of ours; empty where it said nothing.
        case notSSH(String)
        case noCommonAlgorithm(AlgorithmKind, offered: [String], supported: [String])
        /// No known_hosts line names the host; the line that would, and those nothing was learned from.
        case hostKeyUnknown(HostKey, lineToAdd: String, ignoredLines: [KnownHosts.IgnoredLine])
        case hostKeyChanged(HostKey, lineToAdd: String, pinned: [KnownHosts.PinnedKey])
        case hostKeyRevoked(HostKey, line: Int)
        /// The names of the methods tried, and of those the server would take, nil where it did not say; `hints` say what is odd.
        case authenticationRefused(tried: [String], offered: [String]?, hints: [String])
        /// The key, or the password, was taken, and the server wants more: by the methods named. `hints` say what became of that.
        case secondFactorWanted([String], hints: [String])
        case keyUnreadable(String)
        case connectionLost(during: Step, String)
        /// Nothing came from the peer for that long.
        case idleTimedOut(during: Step, after: Duration)
        case commandTimedOut(command: String, after: Duration)
        /// Until then the mark of `ExecRequest` had not come, and what had come instead; nothing was sent.
        case notReady(command: String, after: Duration, said: String)
        /// The peer sent more than any server has reason to, in words.
        case excess(during: Step, String)
        /// The server let nothing be run.
        case channelRefused(command: String, String)
        /// The server does not listen there for us.
        case listeningRefused(String)
        case outputTooLarge(command: String, limit: Int)
        case inputFailed(command: String, String)
        case cancelled(during: Step)
        /// The connection was closed on this side before.
        case closed
        /// The peer broke the protocol, or libssh2 could not follow: its own code and words.
        case protocolFailure(during: Step, code: Int32, String)
        /// This machine has no descriptor, thread or memory left.
        case outOfResources(String)
    }

    public let user: String
    public let host: HostAddress
    public let port: Port
    public let reason: Reason

    /// Whether somebody has to change something before another attempt makes sense.
    public var needsUser: Bool {
        switch reason {
        // A server that is just starting or stopping hangs up too.
        case .notSSH(""): false
        case .notSSH, .noCommonAlgorithm, .hostKeyUnknown, .hostKeyChanged, .hostKeyRevoked, .authenticationRefused,
            .secondFactorWanted, .keyUnreadable, .notReady, .channelRefused, .listeningRefused, .outputTooLarge:
            true
        case .nameUnresolvable, .unreachable, .refused, .connectTimedOut, .handshakeTimedOut, .authenticationTimedOut,
            .connectionLost, .idleTimedOut, .commandTimedOut, .excess, .inputFailed, .cancelled, .closed, .protocolFailure,
            .outOfResources:
            false
        }
    }

    public var description: String { "ssh \(user)@\(host.bracketed):\(port): \(reason)" }
}
