import Foundation
import Glibc
import NetworkTypes
import Sodium
import Synchronization

@testable import SSH

/// A TCP listener on 127.0.0.1 of a namespace, which does with each connection what it is told and then holds it.
final class FakePeer: Sendable {
    let namespace: Namespace
    let port: Int
    private let listener: Int32
    private let held = Mutex<[Int32]>([])

    /// - Parameter behaviour: gets each accepted descriptor, on a thread of its own; it stays open until the peer goes.
    init(
        in namespace: Namespace, port: Int = 2222, _ behaviour: @escaping @Sendable (Int32) -> Void = { _ in }
    ) throws {
        self.namespace = namespace
        self.port = port
        listener = namespace.inside {
            let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(port).bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            let code = withUnsafePointer(to: address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(listener, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            return code == 0 && listen(listener, 16) == 0 ? listener : -1
        }
        guard listener >= 0 else { throw CommandFailed(program: "listen", arguments: [], output: "error \(errno)") }
        Thread { [listener, weak self] in
            while self != nil {
                // Not every kernel wakes an accept(2) when the listener is shut down.
                var waiting = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0)]
                guard poll(&waiting, 1, 100) > 0 else { continue }
                let accepted = accept(listener, nil, nil)
                guard accepted >= 0 else { return }
                self?.held.withLock { $0.append(accepted) }
                Thread { behaviour(accepted) }.start()
            }
        }.start()
    }

    var acceptedCount: Int { held.withLock { $0.count } }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
        for descriptor in held.withLock({ $0 }) {
            shutdown(descriptor, Int32(SHUT_RDWR))
            close(descriptor)
        }
    }

    /// Passes bytes on between two sockets, but from `server` no more than `limit`; what comes after is swallowed.
    static func relay(_ client: Int32, _ server: Int32, limit: Int) {
        var left = limit
        var buffer = [UInt8](repeating: 0, count: 16384)
        while true {
            var descriptors = [client, server].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            guard poll(&descriptors, 2, -1) > 0 else { return }
            for (index, to) in [server, client].enumerated() where descriptors[index].revents != 0 {
                let count = recv(descriptors[index].fd, &buffer, buffer.count, 0)
                guard count > 0 else { return }
                let passed = index == 0 ? count : min(count, left)
                if index == 1 { left -= passed }
                if passed > 0 { send(to, buffer, passed, Int32(MSG_NOSIGNAL)) }
            }
        }
    }

    static func say(_ text: String) -> @Sendable (Int32) -> Void {
        { descriptor in
            let bytes = Array(text.utf8)
            _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        }
    }
}

/// Connects to 127.0.0.1:2222 of `namespace`, or wherever else.
/// - Parameter peer: what must live as long as this takes.
/// - Parameter credentials: nil for a password.
/// - Returns: how it failed; nil when it did not.
func attempt(
    in namespace: Namespace, host: String = "127.0.0.1", port: Int = 2222, timeout: Duration = .seconds(1),
    peer: FakePeer? = nil, credentials: SSHCredentials? = nil
) async throws -> SSHError? {
    defer { withExtendedLifetime(peer) {} }
    do {
        let connection = try await SSHConnection.connect(
            to: HostAddress(parsing: host), port: NetworkTypes.Port(port),
            credentials: credentials ?? SSHCredentials(user: "root", privateKey: nil, password: SecretBytes(copying: [65])),
            hostKeyPolicy: .insecureAcceptAny, timeouts: SSHTimeouts(connect: timeout), socket: namespace.socket)
        await connection.close()
        return nil
    } catch let error as SSHError {
        return error
    }
}

/// As `attempt`, expecting to fail.
func failure(
    in namespace: Namespace, host: String = "127.0.0.1", timeout: Duration = .seconds(1), peer: FakePeer? = nil
) async throws -> SSHError {
    if let error = try await attempt(in: namespace, host: host, timeout: timeout, peer: peer) { return error }
    throw CommandFailed(program: "connect", arguments: [], output: "it connected")
}
