/// A number that nobody can have foreseen, as 32 hexadecimal digits: what it stands in was written after it was made.
public struct Nonce: Sendable, CustomStringConvertible {
    public let description: String

    public init() {
        var generator = SystemRandomNumberGenerator()
        func digits() -> String {
            let text = String(generator.next() as UInt64, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }
        description = digits() + digits()
    }
}

/// A command for the far side's shell. It can only be written as a literal without interpolation, and be put together from such
/// and from nonces, so no value from outside ever reaches that shell; values travel on standard input.
public struct RemoteCommand: ExpressibleByStringLiteral, Sendable, CustomStringConvertible {
    private let text: String

    public init(stringLiteral text: StaticString) { self.text = "\(text)" }

    public init(_ nonce: Nonce) { text = "\(nonce)" }

    private init(text: String) { self.text = text }

    public var description: String { text }

    public static func + (a: Self, b: Self) -> Self { Self(text: a.text + b.text) }

    /// The command with `other` as one more argument, quoted for a POSIX shell.
    public func passing(_ other: Self) -> Self {
        // Inside single quotes nothing is special but their end (POSIX, section 2.2.2).
        let quoted = other.text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
        return Self(text: "\(text) '\(quoted)'")
    }
}

/// What a command is allowed.
public struct ExecLimits: Equatable, Sendable {
    /// Bytes of standard output, and of standard error, that are collected; more is an error.
    public var output: Int
    /// From the start to the end of the command; nil is no limit.
    public var timeout: Duration?

    /// - Parameter output: 16 MiB by default: a report on 10,000 bindings with room to spare.
    public init(output: Int = 16 << 20, timeout: Duration? = nil) {
        self.output = output
        self.timeout = timeout
    }
}

/// Output as it arrives.
public enum ExecOutput: Sendable {
    case standardOutput([UInt8])
    case standardError([UInt8])
}

/// What a command must print before any of its input is sent.
public struct ReadyMark: Equatable, Sendable {
    public var text: String
    /// From the start of the command.
    public var within: Duration

    public init(text: String, within: Duration) {
        self.text = text
        self.within = within
    }
}

/// How a command ended.
public struct ExecResult: Equatable, Sendable {
    /// Nil when a signal ended it.
    ///
    /// libssh2 does not tell a missing status from 0, and a server may close a channel without one: what must not be
    /// mistaken for success should say so in its output.
    public let status: Int32?
    /// The signal's name without `SIG`, such as `KILL`; nil when it ended by itself.
    public let signal: String?
    /// Empty when the output went to a function.
    public let standardOutput: [UInt8]
    public let standardError: [UInt8]
    /// How much of its input was sent: less than all when it ended without reading it.
    public let inputBytesSent: Int
}

/// What a connection has done since it was opened.
public struct SSHStatistics: Equatable, Sendable {
    /// Commands that were started.
    public var execs = 0
    /// On the wire, SSH's own overhead included.
    public var bytesSent = 0
    public var bytesReceived = 0
    /// How often something came in after something had gone out: the round trips, as far as one side can tell.
    public var roundTrips = 0
    /// Time spent in commands.
    public var execTime: Duration = .zero

    public init() {}
}
