import Glibc
public import NetworkTypes
public import SSH
import Syscalls

/// The tunnel's end on this host.
public enum LocalPlace: Hashable, Sendable, CustomStringConvertible {
    case port(IPAddress, Port)
    /// A unix socket: an absolute path.
    case socket(String)

    public var description: String { "\(place)" }

    /// As whoever dials it sees it.
    public var place: ForwardPlace {
        switch self {
        case .port(let address, let port): .port(host: "\(address)", port)
        case .socket(let path): .socket(path)
        }
    }
}

/// Why nothing can be listened at here.
public struct LocalListenerError: Error, CustomStringConvertible {
    public let description: String
}

/// Listens at a place of this host. A unix socket is for its owner alone, and goes when nobody listens any more; one that a process left is
/// made anew, one that a process listens at is left alone.
final class LocalListener: Sendable {
    let descriptor: Descriptor
    /// What is there, to be removed at the end; nil for a port.
    private let made: (path: String, stamp: FileStamp)?

    private static let backlog: Int32 = 128

    /// - Throws: `LocalListenerError`.
    init(_ place: LocalPlace) throws(LocalListenerError) {
        do throws(SystemFailure) {
            switch place {
            case .port(let address, let port):
                let socket = SocketAddress(address, port: port)
                let descriptor = try Descriptor.socket(socket.family, isWaiting: false)
                try descriptor.setOption(SOL_SOCKET, SO_REUSEADDR, 1 as Int32)
                try descriptor.bind(to: socket)
                try descriptor.listen(backlog: Self.backlog)
                (self.descriptor, made) = (descriptor, nil)
            case .socket(let path):
                let address = try SocketAddress(unix: path)
                try Self.clear(path, address)
                let descriptor = try Descriptor.socket(AF_UNIX, isWaiting: false)
                try descriptor.bind(to: address, mode: 0o600)
                try descriptor.listen(backlog: Self.backlog)
                guard let status = try fileStatus(at: path) else { throw SystemFailure("bind", ENOENT) }
                (self.descriptor, made) = (descriptor, (path, FileStamp(status)))
            }
        } catch {
            throw LocalListenerError(description: "cannot listen at \(place): \(error.reason); is another process there?")
        }
    }

    /// Removes a socket that nobody listens at.
    private static func clear(_ path: String, _ address: SocketAddress) throws(SystemFailure) {
        guard let status = try fileStatus(at: path) else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else { throw SystemFailure("bind", EEXIST) }
        do throws(SystemFailure) {
            try Descriptor.socket(AF_UNIX, isWaiting: false).connect(to: address)
        } catch {
            if error.code == ECONNREFUSED { try removeFile(at: path) }
            return
        }
        throw SystemFailure("bind", EADDRINUSE)
    }

    /// Resets what waits to be accepted.
    func turnAway() {
        while let waiting = try? descriptor.accept() { waiting.resetOnClose() }
    }

    /// Removes its file, unless it is another's by now.
    func close() {
        guard let made, let status = try? fileStatus(at: made.path), FileStamp(status) == made.stamp else { return }
        _ = try? removeFile(at: made.path)
    }
}
