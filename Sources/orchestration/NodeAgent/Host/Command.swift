import Glibc
import NetworkTypes
import NodeDocument
import Syscalls

/// A program of the host with its arguments; no shell is ever between.
public struct Command: Hashable, Sendable, CustomStringConvertible {
    /// Absolute.
    public var program: String
    public var arguments: [String]
    /// Nil for the agent's own.
    public var folder: String?
    /// After this it is killed.
    public var timeoutSeconds: Int

    public init(_ program: String, _ arguments: [String], folder: String? = nil, timeoutSeconds: Int = 60) {
        self.program = program
        self.arguments = arguments
        self.folder = folder
        self.timeoutSeconds = timeoutSeconds
    }

    public var description: String { ([program] + arguments).joined(separator: " ") }
}

/// The absolute path of a program of the host; in /usr/bin when there is none, which then fails with that path in its message.
func findProgram(_ name: String) -> String {
    findProgram(name, in: ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]) ?? "/usr/bin/\(name)"
}

/// How a command ended and what it printed.
public struct CommandResult: Hashable, Sendable {
    /// 128 + the signal's number when one ended it.
    public var status: Int32
    /// Standard output, at most 1 MiB.
    public var output: String
    /// Standard error, at most 1 MiB.
    public var errors: String

    public init(status: Int32 = 0, output: String = "", errors: String = "") {
        self.status = status
        self.output = output
        self.errors = errors
    }

    public var succeeded: Bool { status == 0 }

    /// The last lines of what it said on its failure.
    var complaint: String {
        let text = errors.isEmpty ? output : errors
        let lines = lastingWords(of: text.split(separator: "\n").suffix(4).joined(separator: " | "))
        return lines.isEmpty ? "exit status \(status)" : "exit status \(status): \(lines.prefix(1200))"
    }
}

extension Command {
    /// How it is started: with a fixed environment and English messages.
    private var spawn: Spawn {
        let environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "SYSTEMD_COLORS=0"]
        return Spawn(program, arguments, environment: environment, folder: folder)
    }

    /// - Parameter change: how else it is started.
    func start(_ change: (inout Spawn) -> Void = { _ in }) throws(AgentError) -> pid_t {
        var spawn = spawn
        change(&spawn)
        return try attempting("running \(program)") { () throws(SystemFailure) in try spawn.start() }
    }

    /// Runs the program to its end.
    /// - Throws: `AgentError` when it cannot be started or takes longer than `timeoutSeconds`; an exit status is no error.
    public func run() throws(AgentError) -> CommandResult {
        let finished = try attempting("running \(program)") { () throws(SystemFailure) in
            try spawn.run(.apart, limit: 1 << 20, until: .now + .seconds(timeoutSeconds))
        }
        guard let finished else {
            throw AgentError(.system, "\(self) did not end within \(timeoutSeconds) s and was killed; run it by hand to see why")
        }
        let ending = finished.ending
        return CommandResult(
            status: ending.signal == 0 ? ending.exitCode : 128 + ending.signal,
            output: String(decoding: finished.output, as: UTF8.self), errors: String(decoding: finished.errors, as: UTF8.self))
    }
}

/// A moment on the monotonic clock.
struct Deadline: Sendable {
    let end: ContinuousClock.Instant

    init(milliseconds: Int) { end = .now + .milliseconds(milliseconds) }

    /// Milliseconds left, at least 1; nil when it has passed.
    var remaining: Int32? {
        let left = ContinuousClock.now.duration(to: end)
        guard left > .zero else { return nil }
        let milliseconds = left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000
        return Int32(clamping: max(1, milliseconds))
    }
}
