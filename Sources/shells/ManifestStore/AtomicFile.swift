import Glibc
import Syscalls

/// Files that are there whole or not at all, whenever the power goes.
enum AtomicFile {
    /// Writes a file that only its owner may read.
    /// - Returns: false when the file had these bytes already, and was left alone.
    @discardableResult
    static func write(_ bytes: [UInt8], to path: String) throws(FileFailure) -> Bool {
        if let present = try read(path, limit: bytes.count + 1), present == bytes { return false }
        let slash = path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex
        // One writer has the folder (see StateFolder's lock), so a leftover of the same name is dead.
        let temporary = "\(path[..<slash]).\(path[slash...]).tmp"
        do throws(SystemFailure) {
            try replaceFile(path, with: bytes, mode: 0o600, through: temporary)
        } catch {
            switch error.call {
            case "rename": throw FileFailure("rename to", path, code: error.code)
            case "syncParent": throw FileFailure("fsync", folderPart(of: path), code: error.code)
            default: throw FileFailure(error.call == "unlink" ? "delete" : error.call, temporary, code: error.code)
            }
        }
        return true
    }

    /// - Returns: nil when there is no such file, and for one longer than `limit`, whose bytes cannot be those compared with.
    private static func read(_ path: String, limit: Int) throws(FileFailure) -> [UInt8]? {
        do throws(SystemFailure) {
            return try Descriptor.contents(of: path, limit: limit, O_NOFOLLOW)
        } catch {
            if error.isMissing || error.code == EFBIG || error.code == ELOOP { return nil }
            throw FileFailure(error.call, path, code: error.code)
        }
    }

    /// Deletes a file; one that is not there is fine.
    static func remove(_ path: String) throws(FileFailure) {
        let wasThere = try onFile(path, "delete") { () throws(SystemFailure) in try removeFile(at: path) }
        if wasThere { try syncFolder(of: path) }
    }

    /// Deletes a folder and all in it, not following links; one that is not there is fine.
    static func removeTree(_ path: String) throws(FileFailure) {
        try onFile(path, "delete") { () throws(SystemFailure) in try Syscalls.removeTree(at: path) }
    }

    /// Makes a folder that only its owner may enter, and those above it that are missing.
    static func makeFolder(_ path: String) throws(FileFailure) {
        try onFile(path, "make folder") { () throws(SystemFailure) in try Syscalls.makeFolder(at: path) }
    }

    private static func syncFolder(of path: String) throws(FileFailure) {
        try onFile(folderPart(of: path), "fsync") { () throws(SystemFailure) in try syncParent(of: path) }
    }
}
