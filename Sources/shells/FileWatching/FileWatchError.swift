import Glibc
import Syscalls

/// Files cannot be watched: what was tried, on what, the cause, and what to do.
public struct FileWatchError: Error, Hashable, Sendable, CustomStringConvertible {
    public let call: String
    /// Empty where the call concerns no file.
    public let path: String
    /// An errno.
    public let code: Int32

    init(_ call: String, path: String = "", code: Int32) {
        self.call = call
        self.path = path
        self.code = code
    }

    init(_ failure: SystemFailure, path: String = "") { self.init(failure.call, path: path, code: failure.code) }

    public var description: String {
        let subject = path.isEmpty ? "" : " \(path)"
        let advice =
            switch code {
            case ENOSPC: "; raise the sysctl fs.inotify.max_user_watches"
            case EMFILE where call == "inotify_init1": "; raise the sysctl fs.inotify.max_user_instances"
            case EACCES: "; give this user the right to read it"
            default: ""
            }
        return "watching files: \(call)\(subject) failed: \(errnoText(code))\(advice)"
    }
}
