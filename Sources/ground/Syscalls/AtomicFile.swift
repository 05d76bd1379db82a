public import Glibc

/// Puts `bytes` at `path` so that after a crash there is the old file or the new one, whole.
/// - Parameters:
///   - mode: permission bits, such as 0o640.
///   - group: nil leaves it as it is made.
///   - temporary: where the new one lies until it is whole, in the same folder. What is there by that name goes; nobody else may be at it.
/// - Throws: naming the step that failed: `unlink`, those of `writeNewFile`, `rename`, or `syncParent`. But for the last the old file is there.
public func replaceFile(
    _ path: String, with bytes: [UInt8], mode: mode_t, group: gid_t? = nil, through temporary: String
) throws(SystemFailure) {
    try removeFile(at: temporary)
    do throws(SystemFailure) {
        try writeNewFile(temporary, bytes, mode: mode, group: group, isSynced: true)
        try calling("rename") { rename(temporary, path) }
    } catch {
        unlink(temporary)
        throw error
    }
    try syncParent(of: path)
}

/// Writes a file that is not there yet; it stays only when it is whole.
/// - Parameter isSynced: whether it is on the disk for good then, but for its name (`syncParent`).
/// - Throws: naming the step that failed: `open`, `write`, `fchown`, `fchmod` or `fsync`.
public func writeNewFile(
    _ path: String, _ bytes: [UInt8], mode: mode_t, group: gid_t? = nil, isSynced: Bool
) throws(SystemFailure) {
    // Made for its owner alone, and opened up only when it is whole.
    let file = try Descriptor.open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
    do throws(SystemFailure) {
        try file.writeAll(bytes)
        if let group { try calling("fchown") { fchown(file.number, uid_t.max, group) } }
        try calling("fchmod") { fchmod(file.number, mode) }
        if isSynced { try file.sync() }
    } catch {
        unlink(path)
        throw error
    }
}

/// Makes what was renamed, made or removed in the folder that holds `path` last.
public func syncParent(of path: String) throws(SystemFailure) {
    do throws(SystemFailure) {
        try Descriptor.open(folderPart(of: path), O_RDONLY | O_DIRECTORY).sync()
    } catch {
        throw SystemFailure("syncParent", error.code)
    }
}

/// Makes a folder that only its owner may enter, and those above it that are missing; one that is there is left as it is.
public func makeFolder(at path: String) throws(SystemFailure) {
    guard !path.utf8.contains(0) else { throw SystemFailure("mkdir", EINVAL) }
    do throws(SystemFailure) {
        try calling("mkdir") { mkdir(path, 0o700) }
    } catch {
        let parent = folderPart(of: path)
        if error.code == EEXIST { return }
        guard error.code == ENOENT, parent != path else { throw error }
        try makeFolder(at: parent)
        try calling("mkdir") { mkdir(path, 0o700) }
    }
    try syncParent(of: path)
}

/// The folder of a path: `.` for a bare name.
public func folderPart(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
}

/// - Returns: whether there was one.
@discardableResult
public func removeFile(at path: String) throws(SystemFailure) -> Bool {
    do throws(SystemFailure) {
        try calling("unlink") { unlink(path) }
        return true
    } catch  where error.isMissing {
        return false
    }
}
