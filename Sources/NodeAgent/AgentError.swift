import Glibc
public import NodeDocument

/// Something the agent could not do: what was tried, on what, the cause and what to do next.
public struct AgentError: Error, Hashable, Sendable, CustomStringConvertible {
    public let kind: AgentProblem.Kind
    /// One sentence or more, for people.
    public let message: String

    public init(_ kind: AgentProblem.Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// A call of libc failed with `code`. A full disk gets its own kind, and says what to free.
    init(errno code: Int32, tried: String, kind: AgentProblem.Kind = .system) {
        let cause = String(cString: strerror(code))
        switch code {
        case ENOSPC, EDQUOT:
            self.init(
                .diskFull, "\(tried): \(cause); free space or inodes on that file system, the next apply goes on from there")
        case EROFS:
            self.init(kind, "\(tried): \(cause); Tidegate needs /etc and /usr/local to be writable")
        default:
            self.init(kind, "\(tried): \(cause)")
        }
    }

    public var problem: AgentProblem { AgentProblem(kind: kind, message: message) }
    public var description: String { "\(kind.rawValue): \(message)" }
}

/// Runs a call of libc that answers a negative number with `errno` set, again when a signal interrupted it.
@discardableResult
func checked<Result: SignedInteger>(
    _ tried: @autoclosure () -> String, _ call: () -> Result
) throws(AgentError) -> Result {
    while true {
        let result = call()
        if result >= 0 { return result }
        let code = errno
        if code != EINTR { throw AgentError(errno: code, tried: tried()) }
    }
}
