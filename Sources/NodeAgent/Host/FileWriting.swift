import CLinuxHeaders
import Glibc
import NodeDocument

/// Makes a folder, its parents too, or gives one that is there the access wanted.
/// - Returns: whether anything changed.
@discardableResult
func makeFolder(_ path: String, _ access: Access) throws(AgentError) -> Bool {
    if let status = try statusOf(path) {
        guard isFolder(status) else { throw AgentError(.system, "\(path) is in the way: it is not a folder; move it away") }
        return try adjust(path, status, access)
    }
    if let slash = path.lastIndex(of: "/"), slash != path.startIndex, try statusOf(String(path[..<slash])) == nil {
        try makeFolder(String(path[..<slash]), .publicFolder)
    }
    try checked("making the folder \(path)") { mkdir(path, access.mode) }
    if let status = try statusOf(path) { try adjust(path, status, access) }
    return true
}

/// Sets mode and group where they differ.
@discardableResult
func adjust(_ path: String, _ status: stat, _ access: Access) throws(AgentError) -> Bool {
    var changed = false
    if let group = access.group, status.st_gid != group {
        try checked("giving \(path) to group \(group)") { lchown(path, status.st_uid, group) }
        changed = true
    }
    if status.st_mode & 0o7777 != access.mode {
        try checked("setting the mode of \(path)") { chmod(path, access.mode) }
        changed = true
    }
    return changed
}

/// Writes a file that is not there yet; it is not yet on the disk for good.
func writeNewFile(_ path: String, _ contents: [UInt8], _ access: Access, sync: Bool = false) throws(AgentError) {
    // Made for its owner alone, and opened up only when it is whole.
    let descriptor = try checked("writing \(path)") { open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600) }
    defer { close(descriptor) }
    do throws(AgentError) {
        try writeAll(descriptor, contents, name: path)
        if let group = access.group { try checked("giving \(path) to group \(group)") { fchown(descriptor, uid_t.max, group) } }
        try checked("setting the mode of \(path)") { fchmod(descriptor, access.mode) }
        if sync { try checked("writing \(path) to the disk") { fsync(descriptor) } }
    } catch {
        unlink(path)
        throw error
    }
}

func writeAll(_ descriptor: Int32, _ contents: [UInt8], name: String) throws(AgentError) {
    var written = 0
    while written < contents.count {
        written += try checked("writing \(name)") {
            contents.withUnsafeBytes { write(descriptor, $0.baseAddress?.advanced(by: written), $0.count - written) }
        }
    }
}

/// Puts `contents` at `path` so that after a crash there is the old file or the new one, whole.
func replaceFile(_ path: String, _ contents: [UInt8], _ access: Access) throws(AgentError) {
    let temporary = "\(path).\(getpid()).tmp"
    unlink(temporary)
    try writeNewFile(temporary, contents, access, sync: true)
    do throws(AgentError) { try moveFile(temporary, path) } catch {
        unlink(temporary)
        throw error
    }
    try syncFolder(of: path)
}

/// - Returns: whether the file had to be written or its access set.
func ensureFile(_ path: String, _ contents: [UInt8], _ access: Access) throws(AgentError) -> Bool {
    if let status = try statusOf(path), isRegularFile(status), try readFile(path) == contents {
        return try adjust(path, status, access)
    }
    try replaceFile(path, contents, access)
    return true
}

/// Atomic on one file system (rename(2)).
func moveFile(_ source: String, _ target: String) throws(AgentError) {
    try checked("renaming \(source) to \(target)") { rename(source, target) }
}

/// Makes renames in the folder that holds `path` last.
func syncFolder(of path: String) throws(AgentError) {
    let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    let descriptor = try checked("opening \(folder)") { open(folder.isEmpty ? "/" : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
    defer { close(descriptor) }
    try checked("writing \(folder) to the disk") { fsync(descriptor) }
}

/// Writes all that is pending on the file system of `path`: one call where a thousand files would want an fsync each.
func syncFileSystem(of path: String) throws(AgentError) {
    let descriptor = try checked("opening \(path)") { open(path, O_RDONLY | O_CLOEXEC) }
    defer { close(descriptor) }
    try checked("writing the file system of \(path) to the disk") { syncfs(descriptor) }
}

/// - Returns: whether there was one.
@discardableResult
func removeFile(_ path: String) throws(AgentError) -> Bool {
    if unlink(path) == 0 { return true }
    if errno == ENOENT || errno == ENOTDIR { return false }
    throw AgentError(errno: errno, tried: "removing \(path)")
}

/// Points the symbolic link at `path` to `target`, atomically.
/// - Returns: whether it pointed elsewhere.
func ensureLink(_ path: String, to target: String) throws(AgentError) -> Bool {
    if linkTarget(path) == target { return false }
    let temporary = "\(path).\(getpid()).tmp"
    unlink(temporary)
    try checked("linking \(path) to \(target)") { symlink(target, temporary) }
    try moveFile(temporary, path)
    try syncFolder(of: path)
    return true
}
