import Glibc
import NetworkTypes
import Syscalls

/// A call of the operating system on a file that failed.
struct FileFailure: Error, CustomStringConvertible {
    let call: String
    let path: String
    let code: Int32

    init(_ call: String, _ path: String, code: Int32) {
        self.call = call
        self.path = path
        self.code = code
    }

    var reason: String { errnoText(code) }
    var isMissing: Bool { code == ENOENT || code == ENOTDIR }
    var description: String { "\(call) \(printable(path, limit: 400)): \(reason)" }
}

/// Runs calls on a file, with what failed in our terms.
/// - Parameter call: what was tried; nil for the call's own name.
@discardableResult
func onFile<Value>(
    _ path: String, _ call: String? = nil, _ body: () throws(SystemFailure) -> Value
) throws(FileFailure) -> Value {
    do throws(SystemFailure) { return try body() } catch { throw FileFailure(call ?? error.call, path, code: error.code) }
}

/// The names in a folder and what each is, sorted; without `.` and `..`.
func folderEntries(_ path: String) throws(FileFailure) -> [(name: String, kind: FileKind)] {
    let names = try onFile(path, "list") { () throws(SystemFailure) in try namesInFolder(at: path) }
    return names.sorted().map { ($0, (try? fileKind(at: "\(path)/\($0)")) ?? .other) }
}
