internal import Glibc
internal import NetworkTypes

/// A call of the operating system on a file that failed.
struct FileFailure: Error, CustomStringConvertible {
    let call: String
    let path: String
    let code: Int32

    init(_ call: String, _ path: String, code: Int32 = errno) {
        self.call = call
        self.path = path
        self.code = code
    }

    var reason: String { String(cString: strerror(code)) }
    var isMissing: Bool { code == ENOENT || code == ENOTDIR }
    var description: String { "\(call) \(printable(path, limit: 400)): \(reason)" }
}

/// An open file; closed with its owner.
final class OpenFile {
    let descriptor: Int32
    let path: String

    init(_ path: String, flags: Int32, mode: mode_t = 0) throws(FileFailure) {
        guard !path.utf8.contains(0) else { throw FileFailure("open", path, code: EINVAL) }
        descriptor = open(path, flags | O_CLOEXEC, mode)
        self.path = path
        guard descriptor >= 0 else { throw FileFailure("open", path) }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    func status() throws(FileFailure) -> stat {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw FileFailure("stat", path) }
        return status
    }

    /// - Throws: with `EFBIG` when there are more than `limit` bytes.
    func readAll(limit: Int) throws(FileFailure) -> [UInt8] {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw FileFailure("read", path)
            }
            if count == 0 { return bytes }
            bytes += buffer[..<count]
            guard bytes.count <= limit else { throw FileFailure("read", path, code: EFBIG) }
        }
    }

    func writeAll(_ bytes: [UInt8]) throws(FileFailure) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress?.advanced(by: written), $0.count - written) }
            if count < 0 {
                if errno == EINTR { continue }
                throw FileFailure("write", path)
            }
            written += count
        }
    }

    func sync() throws(FileFailure) {
        guard fsync(descriptor) == 0 else { throw FileFailure("fsync", path) }
    }
}

enum FileKind {
    case regular
    case directory
    case link
    case other
}

/// The names in a folder and what each is, sorted; without `.` and `..`.
func folderEntries(_ path: String) throws(FileFailure) -> [(name: String, kind: FileKind)] {
    guard let folder = opendir(path) else { throw FileFailure("list", path) }
    defer { closedir(folder) }
    var entries: [(name: String, kind: FileKind)] = []
    while true {
        errno = 0
        guard let entry = readdir(folder) else {
            if errno != 0 { throw FileFailure("list", path) }
            return entries.sorted { $0.name < $1.name }
        }
        let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
            pointer.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
        }
        guard name != ".", name != ".." else { continue }
        entries.append((name, kind(of: "\(path)/\(name)")))
    }
}

private func kind(of path: String) -> FileKind {
    var status = stat()
    guard lstat(path, &status) == 0 else { return .other }
    switch status.st_mode & S_IFMT {
    case S_IFREG: return .regular
    case S_IFDIR: return .directory
    case S_IFLNK: return .link
    default: return .other
    }
}
