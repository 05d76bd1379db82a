import Foundation
import Glibc
import NetworkTypes
import Sodium
import Synchronization

@testable import SSH

/// A TCP listener on 127.0.0.1:2222 of a namespace, which does with each connection what it is told and then holds it.
final class FakePeer: Sendable {
    let namespace: Namespace
    private let listener: Int32
    private let held = Mutex<[Int32]>([])

    /// - Parameter behaviour: gets each accepted descriptor, on a thread of its own; it stays open until the peer goes.
    init(in namespace: Namespace, _ behaviour: @escaping @Sendable (Int32) -> Void = { _ in }) throws {
        self.namespace = namespace
        listener = namespace.inside {
            let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(2222).bigEndian
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
            while true {
                let accepted = accept(listener, nil, nil)
                guard accepted >= 0 else { return }
                self?.held.withLock { $0.append(accepted) }
                Thread { behaviour(accepted) }.start()
            }
        }.start()
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
        for descriptor in held.withLock({ $0 }) {
            shutdown(descriptor, Int32(SHUT_RDWR))
            close(descriptor)
        }
    }

    static func say(_ text: String) -> @Sendable (Int32) -> Void {
        { descriptor in
            let bytes = Array(text.utf8)
            _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        }
    }
}

/// Connects to 127.0.0.1:2222 of `namespace`, or wherever else, expecting to fail.
func failure(
    in namespace: Namespace, host: String = "127.0.0.1", timeout: Duration = .seconds(1)
) async throws -> SSHError {
    do {
        let connection = try await SSHConnection.connect(
            to: HostAddress(parsing: host), port: NetworkTypes.Port(2222),
            credentials: SSHCredentials(user: "root", privateKey: nil, password: SecretBytes(copying: [65])),
            hostKeyPolicy: .insecureAcceptAny, timeouts: SSHTimeouts(connect: timeout), prepare: namespace.enter)
        await connection.close()
    } catch let error as SSHError {
        return error
    }
    throw CommandFailed(program: "connect", arguments: [], output: "it connected")
}
