import Glibc
import NodeDocument

/// Removes a file or a folder with all in it. Links are removed, never followed, and every step is taken from a descriptor of the folder:
/// another user who may write there can put nothing else in its way.
/// - Returns: whether there was one.
@discardableResult
func removeTree(_ path: String) throws(AgentError) -> Bool {
    let folder = open(path, FolderRemoval.flags)
    if folder < 0 {
        if errno == ENOENT { return false }
        guard errno == ENOTDIR || errno == ELOOP else { throw AgentError(errno: errno, tried: "removing \(path)") }
        return try removeFile(path)
    }
    defer { close(folder) }
    try FolderRemoval(path: path, top: folder).run()
    try checked("removing the folder \(path)") { rmdir(path) }
    return true
}

private struct FolderRemoval {
    /// For people.
    let path: String
    let top: Int32

    static let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK
    /// Folders within folders that are gone into; what lies deeper is moved up first, so that nobody's nesting costs us files or stack.
    private static let depth = 16
    /// Seconds: somebody may go on making files meanwhile.
    private static let patience = 30

    /// As the kernel has it, which need not be UTF-8; it ends with a NUL.
    private typealias Name = [CChar]

    func run() throws(AgentError) {
        let deadline = Deadline(milliseconds: Self.patience * 1000)
        var round = 0
        while deadline.remaining != nil {
            let names = try names(in: top)
            if names.isEmpty { return }
            for (index, name) in names.enumerated() { try remove(name, in: top, depth: 0, spare: "\(round)-\(index)") }
            round += 1
        }
        throw AgentError(.system, "removing \(path): files come as fast as they go; stop what makes them")
    }

    /// - Parameter spare: what to name, at the top, a folder that lies too deep.
    private func remove(_ name: Name, in folder: Int32, depth: Int, spare: String) throws(AgentError) {
        let inner = openat(folder, name, Self.flags)
        if inner < 0 {
            if errno == ENOENT { return }
            guard errno == ENOTDIR || errno == ELOOP else { throw failure() }
            if unlinkat(folder, name, 0) != 0, errno != ENOENT { throw failure() }
            return
        }
        defer { close(inner) }
        for (index, child) in try names(in: inner).enumerated() {
            if depth < Self.depth {
                try remove(child, in: inner, depth: depth + 1, spare: "\(spare)-\(index)")
            } else if renameat(inner, child, top, "tidegate-\(spare)-\(index)") != 0,
                ![ENOENT, EEXIST, ENOTEMPTY, ENOTDIR, EISDIR].contains(errno)
            {
                throw failure()
            }
        }
        // Not empty again: the next round comes back to it.
        if unlinkat(folder, name, AT_REMOVEDIR) != 0, errno != ENOENT, errno != ENOTEMPTY, errno != EEXIST {
            throw failure()
        }
    }

    private func failure() -> AgentError { AgentError(errno: errno, tried: "removing what is in \(path)") }

    /// The names in a folder.
    private func names(in folder: Int32) throws(AgentError) -> [Name] {
        let copy = try checked("listing \(path)") { openat(folder, ".", Self.flags) }
        guard let stream = fdopendir(copy) else {
            let code = errno
            close(copy)
            throw AgentError(errno: code, tried: "listing \(path)")
        }
        defer { closedir(stream) }
        var names: [Name] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { field in
                field.withMemoryRebound(to: CChar.self, capacity: 256) {
                    Name(UnsafeBufferPointer(start: $0, count: strlen($0) + 1))
                }
            }
            if name != [0x2E, 0] && name != [0x2E, 0x2E, 0] { names.append(name) }
        }
        return names
    }
}
