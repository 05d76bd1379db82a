import Glibc
import Syscalls

/// This network namespace's mesh, for one process: two would overwrite each other's interface, routes and rules. Let go with this value, or with
/// the process.
public struct MeshClaim: Sendable {
    /// Why there is none, and what to do.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    /// Bytes of a process's number.
    private static let longest = 32
    /// Nil where this host has no place for it.
    private let file: Descriptor?

    /// - Parameter folder: where only root writes.
    public init(folder: String = "/run") throws {
        guard let network = try fileStatus(at: "/proc/self/ns/net", followingLinks: true) else {
            throw Failure(description: "/proc/self/ns/net is missing: mount /proc")
        }
        let path = "\(folder)/tidegate-mesh-\(network.st_ino).lock"
        do throws(SystemFailure) {
            let opened = try Descriptor.open(path, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
            try calling("flock") { flock(opened.number, LOCK_EX | LOCK_NB) }
            // For whoever comes second.
            try calling("ftruncate") { ftruncate(opened.number, 0) }
            try opened.writeAll(Array("\(getpid())".utf8))
            file = opened
        } catch {
            if error.code == EWOULDBLOCK { throw Self.taken(path) }
            // A container that may write nowhere is alone in its network.
            guard error.code == EROFS || error.isMissing else { throw Failure(description: "\(path): \(error)") }
            file = nil
        }
    }

    private static func taken(_ path: String) -> Failure {
        let text = (try? Descriptor.contents(of: path, limit: longest)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        let process = Int32(text).map { "process \($0)" } ?? "another process"
        return Failure(
            description:
                "\(process) is in a mesh with this host's network already (\(path)): end it, or run this in another network namespace"
        )
    }
}
