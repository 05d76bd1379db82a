import Glibc
import NodeDocument

/// Reads standard input to its end.
/// - Throws: `AgentError` of kind `badDocument` when it is longer than `limit` bytes.
public func readStandardInput(limit: Int) throws(AgentError) -> [UInt8] {
    do throws(AgentError) {
        return try readAll(STDIN_FILENO, name: "standard input", limit: limit)
    } catch {
        throw AgentError(.badDocument, error.message)
    }
}

/// Writes to standard output; that nobody reads any more is no error of ours.
public func writeOutput(_ bytes: [UInt8]) throws(AgentError) {
    try writeAll(STDOUT_FILENO, bytes, name: "standard output")
}

/// Writes a line to standard error, as far as it goes.
public func writeComplaint(_ text: String) {
    let bytes = Array((text + "\n").utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}
