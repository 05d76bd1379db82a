import CLinuxHeaders
import Glibc
import NodeDocument
import Syscalls

/// The one lock of a host: whoever holds it may change things. Let go when this value ends, or its process does.
final class HostLock {
    private var file: Descriptor
    private let path: String

    /// - Parameter milliseconds: how long to wait for another process to finish.
    /// - Throws: `AgentError` of kind `busy`.
    init(_ path: String, milliseconds: Int = 20_000) throws(AgentError) {
        self.path = path
        let deadline = Deadline(milliseconds: milliseconds)
        while true {
            file = try attempting("opening the lock \(path)") { () throws(SystemFailure) in
                try Descriptor.open(path, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
            }
            if flock(file.number, LOCK_EX | LOCK_NB) == 0 {
                // A teardown may have removed the file meanwhile: then this lock guards nothing.
                if let held = try? file.status(), let current = try statusOf(path), current.st_ino == held.st_ino { return }
                continue
            }
            guard deadline.remaining != nil else {
                throw AgentError(
                    .busy, "another edge-agent has worked on this host for \(milliseconds / 1000) s; try again when it is done")
            }
            usleep(20_000)
        }
    }

    /// Removes the file, at the end of a teardown.
    func removeFile() { unlink(path) }
}
