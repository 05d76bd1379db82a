public import Glibc

/// What a path leads to.
public enum FileKind: Hashable, Sendable {
    case regular
    case folder
    case link
    /// A socket, a named pipe, a device.
    case other

    public init(_ status: stat) {
        self =
            switch status.st_mode & S_IFMT {
            case S_IFREG: .regular
            case S_IFDIR: .folder
            case S_IFLNK: .link
            default: .other
            }
    }
}

/// What is at `path` itself, or what a link there leads to.
/// - Returns: nil when there is nothing.
public func fileKind(at path: String, followingLinks: Bool = false) throws(SystemFailure) -> FileKind? {
    try fileStatus(at: path, followingLinks: followingLinks).map { FileKind($0) }
}

/// Tells one content of a file that is replaced as a whole from the next without reading it.
public struct FileStamp: Equatable, Sendable {
    private let inode: UInt64
    private let seconds: Int
    private let nanoseconds: Int

    public init(_ status: stat) {
        inode = UInt64(status.st_ino)
        seconds = Int(status.st_mtim.tv_sec)
        nanoseconds = Int(status.st_mtim.tv_nsec)
    }
}

/// Whether a file was written in the last so many seconds; the clock of day may have stepped back by one since.
public func wasWritten(_ status: stat, within seconds: Int64) -> Bool {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return (-1...seconds).contains(Int64(now.tv_sec) - Int64(status.st_mtim.tv_sec))
}

/// The status of `path` itself, or of what a link there leads to.
/// - Returns: nil when there is nothing.
public func fileStatus(at path: String, followingLinks: Bool = false) throws(SystemFailure) -> stat? {
    var status = stat()
    do throws(SystemFailure) {
        try calling("stat") { followingLinks ? stat(path, &status) : lstat(path, &status) }
        return status
    } catch  where error.isMissing {
        return nil
    }
}

/// Where a symbolic link points.
/// - Throws: with `EINVAL` where there is something else.
public func readLink(_ path: String) throws(SystemFailure) -> String {
    var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let length = try calling("readlink") {
        buffer.withUnsafeMutableBytes { bytes in
            bytes.baseAddress.map { readlink(path, $0.assumingMemoryBound(to: CChar.self), bytes.count) } ?? -1
        }
    }
    return String(decoding: buffer[..<length], as: UTF8.self)
}

/// The names in a folder without `.` and `..`, in no order.
public func namesInFolder(at path: String) throws(SystemFailure) -> [String] {
    // Bytes that are no UTF-8 come out as U+FFFD.
    try rawNames(in: Descriptor.open(path, O_RDONLY | O_DIRECTORY)).map { name in
        String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// As the kernel has them, which need not be UTF-8; each ends with a zero.
func rawNames(in folder: Descriptor) throws(SystemFailure) -> [[CChar]] {
    // The stream closes the one that it is given.
    let copy = try calling("openat") { openat(folder.number, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
    guard let stream = fdopendir(copy) else {
        let code = errno
        close(copy)
        throw SystemFailure("fdopendir", code)
    }
    defer { closedir(stream) }
    var names: [[CChar]] = []
    while true {
        errno = 0
        guard let entry = readdir(stream) else {
            let code = errno
            if code != 0 { throw SystemFailure("readdir", code) }
            return names
        }
        let name = withUnsafePointer(to: &entry.pointee.d_name) { field in
            field.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) {
                Array(UnsafeBufferPointer(start: $0, count: strlen($0) + 1))
            }
        }
        if name != [0x2E, 0] && name != [0x2E, 0x2E, 0] { names.append(name) }
    }
}

/// The first of the folders' programs by that name that this process may run.
/// - Parameter folders: those that are no absolute paths are passed over.
/// - Returns: its path; nil for none.
public func findProgram(_ name: String, in folders: [String]) -> String? {
    folders.lazy.filter { $0.hasPrefix("/") }.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
}

/// The folder of the program that this process runs.
public func ownFolder() throws(SystemFailure) -> String {
    "/" + (try readLink("/proc/self/exe")).split(separator: "/").dropLast().joined(separator: "/")
}
