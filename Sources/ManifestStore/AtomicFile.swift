internal import Glibc

/// Files that are there whole or not at all, whenever the power goes: temporary file, fsync, rename, fsync of the folder.
enum AtomicFile {
    /// Writes a file that only its owner may read.
    /// - Returns: false when the file had these bytes already, and was left alone.
    @discardableResult
    static func write(_ bytes: [UInt8], to path: String) throws(FileFailure) -> Bool {
        if let present = try read(path, limit: bytes.count + 1), present == bytes { return false }
        let (folder, name) = split(path)
        // One writer has the folder (see StateFolder's lock), so a leftover of the same name is dead.
        let temporary = "\(folder)/.\(name).tmp"
        if unlink(temporary) != 0, errno != ENOENT { throw FileFailure("delete", temporary) }
        do throws(FileFailure) {
            let file = try OpenFile(temporary, flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
            try file.writeAll(bytes)
            try file.sync()
            guard rename(temporary, path) == 0 else { throw FileFailure("rename to", path) }
        } catch {
            unlink(temporary)
            throw error
        }
        try syncFolder(folder)
        return true
    }

    /// - Returns: nil when there is no such file, and for one longer than `limit`, whose bytes cannot be those compared with.
    private static func read(_ path: String, limit: Int) throws(FileFailure) -> [UInt8]? {
        do throws(FileFailure) {
            return try OpenFile(path, flags: O_RDONLY | O_NOFOLLOW).readAll(limit: limit)
        } catch {
            if error.isMissing || error.code == EFBIG || error.code == ELOOP { return nil }
            throw error
        }
    }

    /// Deletes a file; one that is not there is fine.
    static func remove(_ path: String) throws(FileFailure) {
        guard unlink(path) == 0 else {
            if errno == ENOENT || errno == ENOTDIR { return }
            throw FileFailure("delete", path)
        }
        try syncFolder(split(path).folder)
    }

    /// Deletes a folder and all in it, not following links; one that is not there is fine.
    static func removeTree(_ path: String) throws(FileFailure) {
        let entries: [(name: String, kind: FileKind)]
        do throws(FileFailure) {
            entries = try folderEntries(path)
        } catch {
            if error.isMissing { return }
            throw error
        }
        for (name, kind) in entries {
            if kind == .directory {
                try removeTree("\(path)/\(name)")
            } else if unlink("\(path)/\(name)") != 0, errno != ENOENT {
                throw FileFailure("delete", "\(path)/\(name)")
            }
        }
        guard rmdir(path) == 0 || errno == ENOENT else { throw FileFailure("delete", path) }
    }

    /// Makes a folder that only its owner may enter, and those above it that are missing.
    static func makeFolder(_ path: String) throws(FileFailure) {
        guard !path.utf8.contains(0) else { throw FileFailure("make folder", path, code: EINVAL) }
        if mkdir(path, 0o700) == 0 { return try syncFolder(split(path).folder) }
        switch errno {
        case EEXIST: return
        case ENOENT:
            let parent = split(path).folder
            guard parent != path, !parent.isEmpty else { throw FileFailure("make folder", path) }
            try makeFolder(parent)
            guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw FileFailure("make folder", path) }
        default: throw FileFailure("make folder", path)
        }
    }

    private static func syncFolder(_ path: String) throws(FileFailure) {
        try OpenFile(path, flags: O_RDONLY | O_DIRECTORY).sync()
    }

    private static func split(_ path: String) -> (folder: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return (".", path) }
        let folder = path[..<slash]
        return (folder.isEmpty ? "/" : String(folder), String(path[path.index(after: slash)...]))
    }
}
