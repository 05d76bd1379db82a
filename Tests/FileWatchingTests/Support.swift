import Glibc
import Testing

/// A folder of its own for one test, gone with its owner.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/tidegate-test-XXXXXX".utf8CString)
        path = String(cString: try #require(mkdtemp(&template)))
    }

    deinit { Self.remove(path) }

    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

    func write(_ name: String, _ text: String, mode: mode_t = 0o600) throws {
        let descriptor = open(self(name), O_WRONLY | O_CREAT | O_TRUNC, mode)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        try #require(Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
        try #require(fchmod(descriptor, mode) == 0)
    }

    static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
    }

    func makeFolder(_ name: String) throws { try #require(mkdir(self(name), 0o700) == 0) }

    func remove(_ name: String) throws { try #require(unlink(self(name)) == 0) }

    func removeFolder(_ name: String) throws { try #require(rmdir(self(name)) == 0) }

    func rename(_ old: String, _ new: String) throws { try #require(Glibc.rename(self(old), self(new)) == 0) }

    func link(_ name: String, to target: String) throws { try #require(symlink(target, self(name)) == 0) }

    static func names(in path: String) -> [String] {
        guard let handle = opendir(path) else { return [] }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
                })
        }
        return names.filter { $0 != "." && $0 != ".." }.sorted()
    }

    private static func remove(_ path: String) {
        if unlink(path) != 0 {
            for name in names(in: path) { remove("\(path)/\(name)") }
            rmdir(path)
        }
    }
}
