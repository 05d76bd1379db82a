import Glibc
import Testing

/// A folder of one test, gone with the value.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/tidegate-client-\(getpid())-XXXXXX".utf8CString)
        path = String(cString: try #require(mkdtemp(&template)))
    }

    deinit { Self.remove(path) }

    static func remove(_ path: String) {
        for folder in ["\(path)/bin", "\(path)/sub", path] {
            for name in names(in: folder) { unlink("\(folder)/\(name)") }
            rmdir(folder)
        }
    }

    /// Folders that a killed run left behind.
    static func removeLeftovers() {
        for name in names(in: "/tmp") where name.hasPrefix("tidegate-client-") {
            let parts = name.split(separator: "-")
            if parts.count == 4, let pid = pid_t(parts[2]), kill(pid, 0) != 0 { remove("/tmp/\(name)") }
        }
    }

    private static func names(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                })
        }
        return names
    }

    /// - Returns: the file's path.
    @discardableResult
    func write(_ name: String, _ text: String, mode: mode_t = 0o600) throws -> String {
        if let slash = name.lastIndex(of: "/") { mkdir("\(path)/\(name[..<slash])", 0o700) }
        let file = open("\(path)/\(name).new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        let bytes = Array(text.utf8)
        try #require(Glibc.write(file, bytes, bytes.count) == bytes.count)
        close(file)
        try #require(rename("\(path)/\(name).new", "\(path)/\(name)") == 0)
        return "\(path)/\(name)"
    }

    struct Missing: Error {}

    static func text(_ path: String) throws -> String {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        guard file >= 0 else { throw Missing() }
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = read(file, &buffer, buffer.count)
            if count <= 0 { return String(decoding: text, as: UTF8.self) }
            text += buffer[..<count]
        }
    }
}
