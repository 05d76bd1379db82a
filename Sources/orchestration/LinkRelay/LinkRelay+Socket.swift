import Glibc
import NIOCore
import Synchronization
import Syscalls

/// Where links come in by sshd.
extension LinkRelay {
    /// The unix socket that is listened at.
    struct OpenSocket {
        let path: String
        let channel: any Channel
        let stamp: FileStamp
    }

    /// For its owner and its folder's group, as whose member sshd connects (unix(7): who may write may connect).
    private static let socketMode: mode_t = 0o660

    /// Listens at `path` for links that come by sshd, and nowhere else; nil for nowhere. Where the socket there is another's, or none, it is
    /// made anew. Links that came by it go on.
    /// - Throws: what the system says; nothing is changed then.
    public func keepSocket(at path: String?) async throws {
        let (open, phase) = state.withLock { ($0.socket, $0.phase) }
        guard phase == .serving else { return }
        guard let path else { return replaceSocket(by: nil) }
        if let open, open.path == path, try fileStatus(at: path).map(FileStamp.init) == open.stamp { return }
        // Beside it first, so that there is one at any time.
        let fresh = "\(path).\(getpid())"
        try removeFile(at: fresh)
        let channel = try await bind(try NIOCore.SocketAddress(unixDomainSocketPath: fresh), .tls, false)
        do {
            try calling("chmod") { chmod(fresh, Self.socketMode) }
            try calling("rename") { rename(fresh, path) }
            guard let status = try fileStatus(at: path) else { throw SystemFailure("rename", ENOENT) }
            replaceSocket(by: OpenSocket(path: path, channel: channel, stamp: FileStamp(status)))
        } catch {
            channel.close(promise: nil)
            _ = try? removeFile(at: fresh)
            throw error
        }
    }

    private func replaceSocket(by next: OpenSocket?) {
        let (former, isServing) = state.withLock { state in
            let (former, isServing) = (state.socket, state.phase == .serving)
            state.socket = isServing ? next : nil
            return (former, isServing)
        }
        former?.channel.close(promise: nil)
        if !isServing { next?.channel.close(promise: nil) }
        if let former, former.path != next?.path { _ = try? removeFile(at: former.path) }
    }
}
