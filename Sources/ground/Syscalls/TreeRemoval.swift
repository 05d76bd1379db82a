import Glibc

/// Removes a file or a folder with all in it. Links are removed, never followed, and every step is taken from a descriptor of the folder:
/// another user who may write there can put nothing else in its way.
/// - Returns: whether there was one.
/// - Throws: naming the step that failed: `open`, `unlink` or `rmdir` for `path` itself, the latter with `ENOTEMPTY` where files came as fast
///   as they went; for what is in it `openat`, `readdir`, `unlinkat` or `renameat`.
@discardableResult
public func removeTree(at path: String) throws(SystemFailure) -> Bool {
    let folder: Descriptor
    do throws(SystemFailure) {
        folder = try Descriptor.open(path, TreeRemoval.flags)
    } catch {
        if error.code == ENOENT { return false }
        guard error.code == ENOTDIR || error.code == ELOOP else { throw error }
        return try removeFile(at: path)
    }
    try TreeRemoval(top: folder).run()
    try calling("rmdir") { rmdir(path) }
    return true
}

private struct TreeRemoval {
    let top: Descriptor

    static let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW
    /// Folders within folders that are gone into; what lies deeper is moved up first, so that nobody's nesting costs us files or stack.
    private static let depth = 16
    /// Somebody may go on making files meanwhile.
    private static let patience = Duration.seconds(30)

    func run() throws(SystemFailure) {
        let deadline = ContinuousClock.now + Self.patience
        var round = 0
        while ContinuousClock.now < deadline {
            let names = try rawNames(in: top)
            if names.isEmpty { return }
            for (index, name) in names.enumerated() { try remove(name, in: top, depth: 0, spare: "\(round)-\(index)") }
            round += 1
        }
    }

    /// - Parameter spare: what to name, at the top, a folder that lies too deep.
    private func remove(_ name: [CChar], in folder: Descriptor, depth: Int, spare: String) throws(SystemFailure) {
        let inner: Descriptor
        do throws(SystemFailure) {
            inner = try Descriptor("openat") { openat(folder.number, name, Self.flags | O_CLOEXEC | O_NONBLOCK) }
        } catch {
            if error.code == ENOENT { return }
            guard error.code == ENOTDIR || error.code == ELOOP else { throw error }
            return try unless(ENOENT) { () throws(SystemFailure) in try calling("unlinkat") { unlinkat(folder.number, name, 0) } }
        }
        for (index, child) in try rawNames(in: inner).enumerated() {
            if depth < Self.depth {
                try remove(child, in: inner, depth: depth + 1, spare: "\(spare)-\(index)")
            } else {
                try unless(ENOENT, EEXIST, ENOTEMPTY, ENOTDIR, EISDIR) { () throws(SystemFailure) in
                    try calling("renameat") { renameat(inner.number, child, top.number, "tidegate-\(spare)-\(index)") }
                }
            }
        }
        // Not empty again: the next round comes back to it.
        try unless(ENOENT, ENOTEMPTY, EEXIST) { () throws(SystemFailure) in
            try calling("unlinkat") { unlinkat(folder.number, name, AT_REMOVEDIR) }
        }
    }

    private func unless(_ codes: Int32..., step: () throws(SystemFailure) -> Int32) throws(SystemFailure) {
        do throws(SystemFailure) { _ = try step() } catch  where codes.contains(error.code) {}
    }
}
