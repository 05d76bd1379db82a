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
    /// Starts the program, with a fixed environment and English messages.
    /// - Parameter change: how else it is started.
    func start(_ change: (inout Spawn) -> Void = { _ in }) throws(AgentError) -> pid_t {
        let environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "SYSTEMD_COLORS=0"]
        var spawn = Spawn(program, arguments, environment: environment, folder: folder)
        change(&spawn)
        return try attempting("running \(program)") { () throws(SystemFailure) in try spawn.start() }
    }

    /// Runs the program to its end.
    /// - Throws: `AgentError` when it cannot be started or takes longer than `timeoutSeconds`; an exit status is no error.
    public func run() throws(AgentError) -> CommandResult {
        let tried = "running \(program)"
        let output = try Printed(tried: tried)
        let errors = try Printed(tried: tried)
        let process = try start {
            $0.output = output.input
            $0.errors = errors.input
        }
        output.input = nil
        errors.input = nil
        let deadline = Deadline(milliseconds: timeoutSeconds * 1000)
        var isLate = false
        while !isLate && !(output.isAtEnd && errors.isAtEnd) {
            let open = [output, errors].filter { !$0.isAtEnd }
            var entries = open.map { pollfd(fd: $0.output.number, events: Int16(POLLIN), revents: 0) }
            isLate = try !attempting(tried) { () throws(SystemFailure) in try poll(&entries, until: deadline.end) }
            for (stream, entry) in zip(open, entries) where entry.revents != 0 { stream.take() }
        }
        if isLate { kill(process, SIGKILL) }
        let ending = try attempting("waiting for \(program)") { () throws(SystemFailure) in try waitForEnd(of: process) }
        if isLate {
            throw AgentError(.system, "\(self) did not end within \(timeoutSeconds) s and was killed; run it by hand to see why")
        }
        let status = ending.signal == 0 ? ending.exitCode : 128 + ending.signal
        return CommandResult(status: status, output: output.text, errors: errors.text)
    }
}

/// What a child prints on one stream; what comes beyond 1 MiB is read and dropped.
private final class Printed {
    /// The child's end of the pipe, nil once only the child has it.
    var input: Descriptor?
    let output: Descriptor
    private(set) var isAtEnd = false
    private var bytes: [UInt8] = []

    init(tried: String) throws(AgentError) {
        (output, input) = try attempting(tried) { () throws(SystemFailure) in try Descriptor.pipe() }
    }

    func take() {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let count = (try? output.read(into: &buffer)) ?? 0
        if count == 0 { isAtEnd = true }
        if bytes.count < 1 << 20 { bytes += buffer.prefix(count) }
    }

    var text: String { String(decoding: bytes, as: UTF8.self) }
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
