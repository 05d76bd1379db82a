import Glibc
import NodeDocument
import Syscalls

/// Reads standard input to its end.
/// - Throws: `AgentError` of kind `badDocument` when it is longer than `limit` bytes.
public func readStandardInput(limit: Int) throws(AgentError) -> [UInt8] {
    do throws(AgentError) {
        return try readAll(Descriptor(borrowing: STDIN_FILENO), name: "standard input", limit: limit)
    } catch {
        throw AgentError(.badDocument, error.message)
    }
}

/// Writes to standard output; that nobody reads any more is no error of ours.
public func writeOutput(_ bytes: [UInt8]) throws(AgentError) {
    try attempting("writing standard output") { () throws(SystemFailure) in
        try Descriptor(borrowing: STDOUT_FILENO).writeAll(bytes)
    }
}

/// Writes a line to standard error, as far as it goes.
public func writeComplaint(_ text: String) {
    try? Descriptor(borrowing: STDERR_FILENO).writeAll(Array((text + "\n").utf8))
}
