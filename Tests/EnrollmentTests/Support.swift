import Glibc
import NetworkTypes
import NodeDocument
import SSH
import Sodium
import Synchronization

@testable import Enrollment

/// A folder of one test, gone with the value.
final class Folder: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/tidegate-enrollment-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failed(call: "mkdtemp", code: errno) }
        path = template.withUnsafeBufferPointer { String(decoding: $0.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self) }
    }

    deinit {
        for name in Self.names(path) { unlink("\(path)/\(name)") }
        rmdir(path)
    }

    @discardableResult
    func write(_ bytes: [UInt8], to name: String) throws -> String {
        let file = "\(path)/\(name)"
        let descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Failed(call: "open \(file)", code: errno) }
        defer { close(descriptor) }
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else { throw Failed(call: "write \(file)", code: errno) }
        return file
    }

    private static func names(_ path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            names.append(withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
        }
        return names.filter { $0 != "." && $0 != ".." }
    }
}

struct Failed: Error {
    var call: String
    var code: Int32
}
