import Glibc
import NodeDocument
import Syscalls

/// Who may do what with a file.
struct Access: Hashable, Sendable {
    /// Permission bits, such as 0o640.
    var mode: mode_t
    /// Nil leaves the group as it is made.
    var group: gid_t?

    /// For root alone.
    static let secretFile = Access(mode: 0o600)
    static let secretFolder = Access(mode: 0o700)
    /// For everyone to read, as units and programs are.
    static let publicFile = Access(mode: 0o644)
    static let publicFolder = Access(mode: 0o755)
}

/// Never waits, whatever another user put there.
/// - Returns: nil when there is no such file.
/// - Throws: `AgentError` also for a link, a folder, a pipe or a device, and a file of more than `limit` bytes.
func readFile(_ path: String, limit: Int = 256 << 20) throws(AgentError) -> [UInt8]? {
    let file: Descriptor
    let status: stat
    do throws(SystemFailure) {
        file = try Descriptor.open(path, O_RDONLY | O_NOFOLLOW)
        status = try file.status()
    } catch {
        if error.isMissing { return nil }
        throw AgentError(errno: error.code, tried: "reading \(path)")
    }
    guard isRegularFile(status) else { throw AgentError(.system, "reading \(path): it is no plain file; remove it") }
    return try readAll(file, name: path, limit: limit)
}

/// Reads to the end.
/// - Throws: `AgentError` when more than `limit` bytes come.
func readAll(_ file: Descriptor, name: String, limit: Int) throws(AgentError) -> [UInt8] {
    do throws(SystemFailure) {
        return try file.readAll(limit: limit)
    } catch {
        if error.code == EFBIG { throw AgentError(.system, "reading \(name): longer than the \(limit) bytes allowed") }
        throw AgentError(errno: error.code, tried: "reading \(name)")
    }
}

/// The text of a small file without white space at its ends; nil when there is none.
func readLine(of path: String) throws(AgentError) -> String? {
    guard let bytes = try readFile(path, limit: 64 << 10) else { return nil }
    var text = String(decoding: bytes, as: UTF8.self)[...]
    while text.last?.isWhitespace == true { text = text.dropLast() }
    while text.first?.isWhitespace == true { text = text.dropFirst() }
    return String(text)
}

/// The names in a folder, sorted; empty when there is no such folder.
func namesInFolder(_ path: String) throws(AgentError) -> [String] {
    do throws(SystemFailure) {
        return try namesInFolder(at: path).sorted()
    } catch {
        if error.code == ENOENT { return [] }
        throw AgentError(errno: error.code, tried: "listing \(path)")
    }
}

/// The status of `path` itself, links not followed; nil when it is not there.
func statusOf(_ path: String) throws(AgentError) -> stat? {
    try attempting("looking at \(path)") { () throws(SystemFailure) in try fileStatus(at: path) }
}

func isFolder(_ status: stat) -> Bool { FileKind(status) == .folder }
func isRegularFile(_ status: stat) -> Bool { FileKind(status) == .regular }

/// Where a symbolic link points; nil when `path` is none.
func linkTarget(_ path: String) -> String? { try? readLink(path) }
