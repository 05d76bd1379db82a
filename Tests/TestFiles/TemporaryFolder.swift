public import Glibc

/// A folder of one test, gone with its owner and all that is in it.
public final class TemporaryFolder: Sendable {
    private static let prefix = "tidegate-test-"
    public let path: String

    public init() throws {
        var template = Array("/tmp/\(Self.prefix)\(getpid())-XXXXXX".utf8CString)
        guard let path = mkdtemp(&template) else { throw FileFailure("mkdtemp") }
        self.path = String(cString: path)
    }

    deinit { Self.removeAll(path) }

    /// The path of a file in it.
    public func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

    // MARK: files

    /// Writes in place, and makes the folder that a name with a slash wants.
    /// - Returns: the file's path.
    @discardableResult
    public func write(_ name: String, _ bytes: [UInt8], mode: mode_t = 0o600) throws -> String {
        if let slash = name.lastIndex(of: "/") { mkdir(self(String(name[..<slash])), 0o700) }
        let descriptor = open(self(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw FileFailure("open \(self(name))") }
        defer { close(descriptor) }
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else { throw FileFailure("write \(self(name))") }
        guard fchmod(descriptor, mode) == 0 else { throw FileFailure("chmod \(self(name))") }
        return self(name)
    }

    @discardableResult
    public func write(_ name: String, _ text: String, mode: mode_t = 0o600) throws -> String {
        try write(name, Array(text.utf8), mode: mode)
    }

    /// Nil for what is not there.
    public func read(_ name: String) -> String? { Self.read(from: self(name)) }

    public static func read(from path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0 { return nil }
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer[..<count]
        }
    }

    public func remove(_ name: String) throws { try check("unlink", name, unlink(self(name))) }

    public func rename(_ old: String, _ new: String) throws { try check("rename", old, Glibc.rename(self(old), self(new))) }

    public func link(_ name: String, to target: String) throws { try check("symlink", name, symlink(target, self(name))) }

    /// Permission bits, and 0 for what is not there.
    public func mode(_ name: String) -> mode_t {
        var status = stat()
        return stat(self(name), &status) == 0 ? status.st_mode & 0o777 : 0
    }

    // MARK: folders

    public func makeFolder(_ name: String) throws { try check("mkdir", name, mkdir(self(name), 0o700)) }

    public func removeFolder(_ name: String) throws { try check("rmdir", name, rmdir(self(name))) }

    /// What a folder in it holds, sorted.
    public func names(_ folder: String) -> [String] { Self.names(in: self(folder)) }

    public static func names(in path: String) -> [String] {
        guard let handle = opendir(path) else { return [] }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            names.append(withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
        }
        return names.filter { $0 != "." && $0 != ".." }.sorted()
    }

    /// Folders that a killed run left behind.
    public static func removeLeftovers() {
        for name in names(in: "/tmp") where name.hasPrefix(prefix) {
            let parts = name.split(separator: "-")
            if parts.count == 4, let pid = pid_t(parts[2]), kill(pid, 0) != 0 { removeAll("/tmp/\(name)") }
        }
    }

    /// A file, or a folder and all that is in it.
    public static func removeAll(_ path: String) {
        if unlink(path) != 0 {
            for name in names(in: path) { removeAll("\(path)/\(name)") }
            rmdir(path)
        }
    }

    private func check(_ call: String, _ name: String, _ result: Int32) throws {
        guard result == 0 else { throw FileFailure("\(call) \(self(name))") }
    }
}

/// A call that failed, and why.
public struct FileFailure: Error, CustomStringConvertible {
    public let description: String

    init(_ call: String) { description = "\(call): \(String(cString: strerror(errno)))" }
}
