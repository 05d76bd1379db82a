import CLinuxHeaders
import Glibc
import NodeDocument

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

/// Never waits, whatever another user put there: a named pipe in a file's place would hold root for ever.
/// - Returns: nil when there is no such file.
/// - Throws: `AgentError` also for a link, a folder, a pipe or a device, and a file of more than `limit` bytes.
func readFile(_ path: String, limit: Int = 256 << 20) throws(AgentError) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
    if descriptor < 0 && (errno == ENOENT || errno == ENOTDIR) { return nil }
    try checked("reading \(path)") { descriptor }
    defer { close(descriptor) }
    var status = stat()
    try checked("reading \(path)") { fstat(descriptor, &status) }
    guard isRegularFile(status) else { throw AgentError(.system, "reading \(path): it is no plain file; remove it") }
    return try readAll(descriptor, name: path, limit: limit)
}

/// Reads to the end.
/// - Throws: `AgentError` when more than `limit` bytes come.
func readAll(_ descriptor: Int32, name: String, limit: Int) throws(AgentError) -> [UInt8] {
    var status = stat()
    try checked("reading \(name)") { fstat(descriptor, &status) }
    // Files under /proc say 0, pipes too. A sparse file may claim more than there is memory.
    var bytes = [UInt8](repeating: 0, count: max(min(Int(status.st_size), limit) + 1, 4096))
    var count = 0
    while true {
        if count == bytes.count { bytes += [UInt8](repeating: 0, count: bytes.count) }
        let length = try checked("reading \(name)") {
            bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress?.advanced(by: count), $0.count - count) }
        }
        if length == 0 { break }
        count += length
        if count > limit { throw AgentError(.system, "reading \(name): longer than the \(limit) bytes allowed") }
    }
    bytes.removeLast(bytes.count - count)
    return bytes
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
    guard let folder = opendir(path) else {
        if errno == ENOENT { return [] }
        throw AgentError(errno: errno, tried: "listing \(path)")
    }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
}

/// The status of `path` itself, links not followed; nil when it is not there.
func statusOf(_ path: String) throws(AgentError) -> stat? {
    var status = stat()
    if lstat(path, &status) == 0 { return status }
    if errno == ENOENT || errno == ENOTDIR { return nil }
    throw AgentError(errno: errno, tried: "looking at \(path)")
}

func isFolder(_ status: stat) -> Bool { status.st_mode & S_IFMT == S_IFDIR }
func isRegularFile(_ status: stat) -> Bool { status.st_mode & S_IFMT == S_IFREG }

/// Where a symbolic link points; nil when `path` is none.
func linkTarget(_ path: String) -> String? {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let length = readlink(path, &buffer, buffer.count)
    return length < 0 ? nil : String(decoding: buffer.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
