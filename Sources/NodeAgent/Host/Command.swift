import CLinuxHeaders
import Glibc
import NetworkTypes
import NodeDocument

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
    let folders = ["/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"]
    return (folders.first { access($0 + name, X_OK) == 0 } ?? "/usr/bin/") + name
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
    /// Runs the program to its end, with no standard input, a fixed environment and English messages.
    /// - Throws: `AgentError` when it cannot be started or takes longer than `timeoutSeconds`; an exit status is no error.
    public func run() throws(AgentError) -> CommandResult {
        let output = try Pipe(tried: "running \(program)")
        let errors = try Pipe(tried: "running \(program)")
        var spawn = Spawn(self)
        spawn.output = output.input
        spawn.errors = errors.input
        let process = try spawn.start()
        output.closeInput()
        errors.closeInput()
        let deadline = Deadline(milliseconds: timeoutSeconds * 1000)
        var isLate = false
        while !(output.isAtEnd && errors.isAtEnd) {
            guard let remaining = deadline.remaining else {
                isLate = true
                break
            }
            let open = [output, errors].filter { !$0.isAtEnd }
            var entries = open.map { pollfd(fd: $0.output, events: Int16(POLLIN), revents: 0) }
            let ready = poll(&entries, nfds_t(entries.count), remaining)
            if ready < 0 && errno != EINTR { throw AgentError(errno: errno, tried: "running \(program)") }
            for (pipe, entry) in zip(open, entries) where entry.revents != 0 { pipe.take() }
        }
        if isLate { kill(process, SIGKILL) }
        var status: Int32 = 0
        try checked("waiting for \(program)") { waitpid(process, &status, 0) }
        if isLate {
            throw AgentError(.system, "\(self) did not end within \(timeoutSeconds) s and was killed; run it by hand to see why")
        }
        // WIFSIGNALED and WEXITSTATUS of wait(2), which are macros.
        let signal = status & 0x7F
        return CommandResult(
            status: signal == 0 ? status >> 8 & 0xFF : 128 + signal, output: output.text, errors: errors.text)
    }
}

/// A pipe from a child; what comes beyond 1 MiB is read and dropped.
private final class Pipe {
    let input: Int32
    let output: Int32
    private(set) var isAtEnd = false
    private var isInputOpen = true
    private var bytes: [UInt8] = []

    init(tried: String) throws(AgentError) {
        var ends: [Int32] = [-1, -1]
        try checked(tried) { pipe2(&ends, O_CLOEXEC) }
        output = ends[0]
        input = ends[1]
    }

    func closeInput() {
        if isInputOpen { close(input) }
        isInputOpen = false
    }

    deinit {
        closeInput()
        close(output)
    }

    func take() {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let count = read(output, &buffer, buffer.count)
        if count < 0 && errno == EINTR { return }
        if count <= 0 { isAtEnd = true }
        if count > 0 && bytes.count < 1 << 20 { bytes += buffer.prefix(count) }
    }

    var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// A moment on the monotonic clock.
struct Deadline: Sendable {
    private let end: ContinuousClock.Instant

    init(milliseconds: Int) { end = .now + .milliseconds(milliseconds) }

    /// Milliseconds left, at least 1; nil when it has passed.
    var remaining: Int32? {
        let left = ContinuousClock.now.duration(to: end)
        guard left > .zero else { return nil }
        let milliseconds = left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000
        return Int32(clamping: max(1, milliseconds))
    }
}
