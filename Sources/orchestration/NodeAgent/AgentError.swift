import Glibc
public import NodeDocument
import Syscalls

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
        let cause = errnoText(code)
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

/// Runs calls of the system, with what failed in the agent's terms.
@discardableResult
func attempting<Value>(
    _ tried: @autoclosure () -> String, kind: AgentProblem.Kind = .system, _ body: () throws(SystemFailure) -> Value
) throws(AgentError) -> Value {
    do throws(SystemFailure) { return try body() } catch { throw AgentError(errno: error.code, tried: tried(), kind: kind) }
}

/// One call, which answers a negative number with errno set when it fails.
@discardableResult
func checked(_ tried: @autoclosure () -> String, _ call: () -> Int32) throws(AgentError) -> Int32 {
    try attempting(tried()) { () throws(SystemFailure) in try calling("", call) }
}
