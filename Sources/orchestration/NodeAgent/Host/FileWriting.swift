import CLinuxHeaders
import Glibc
import NodeDocument
import Syscalls

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
    do throws(SystemFailure) {
        try writeNewFile(path, contents, mode: access.mode, group: access.group, isSynced: sync)
    } catch {
        throw AgentError(error, writing: path, access)
    }
}

/// Puts `contents` at `path` so that after a crash there is the old file or the new one, whole.
func replaceFile(_ path: String, _ contents: [UInt8], _ access: Access) throws(AgentError) {
    let temporary = "\(path).\(getpid()).tmp"
    do throws(SystemFailure) {
        try replaceFile(path, with: contents, mode: access.mode, group: access.group, through: temporary)
    } catch {
        switch error.call {
        case "rename": throw AgentError(errno: error.code, tried: "renaming \(temporary) to \(path)")
        case "syncParent": throw AgentError(errno: error.code, tried: "writing \(folderPart(of: path)) to the disk")
        default: throw AgentError(error, writing: temporary, access)
        }
    }
}

extension AgentError {
    /// - Parameter failure: of `Syscalls.writeNewFile`.
    fileprivate init(_ failure: SystemFailure, writing path: String, _ access: Access) {
        let tried =
            switch failure.call {
            case "fchown": "giving \(path) to group \(access.group ?? 0)"
            case "fchmod": "setting the mode of \(path)"
            case "fsync": "writing \(path) to the disk"
            default: "writing \(path)"
            }
        self.init(errno: failure.code, tried: tried)
    }
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
    try attempting("writing \(folderPart(of: path)) to the disk") { () throws(SystemFailure) in try syncParent(of: path) }
}

/// Writes all that is pending on the file system of `path`: one call where a thousand files would want an fsync each.
func syncFileSystem(of path: String) throws(AgentError) {
    let folder = try attempting("opening \(path)") { () throws(SystemFailure) in try Descriptor.open(path, O_RDONLY) }
    try checked("writing the file system of \(path) to the disk") { syncfs(folder.number) }
}

/// - Returns: whether there was one.
@discardableResult
func removeFile(_ path: String) throws(AgentError) -> Bool {
    try attempting("removing \(path)") { () throws(SystemFailure) in try removeFile(at: path) }
}

/// Removes a file or a folder with all in it, links and not what they lead to.
/// - Returns: whether there was one.
@discardableResult
func removeTree(_ path: String) throws(AgentError) -> Bool {
    do throws(SystemFailure) {
        return try removeTree(at: path)
    } catch {
        let tried =
            switch error.call {
            case "rmdir" where error.code == ENOTEMPTY:
                throw AgentError(.system, "removing \(path): files come as fast as they go; stop what makes them")
            case "rmdir": "removing the folder \(path)"
            case "open", "unlink": "removing \(path)"
            default: "removing what is in \(path)"
            }
        throw AgentError(errno: error.code, tried: tried)
    }
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
