import Glibc
import Synchronization

/// What stands between an uplink and the edge: passes connections on to a port of 127.0.0.1, and cuts each one at an age.
public final class Middlebox: Sendable {
    private let listener: Socket
    private let state = Mutex((isOpen: true, cuts: 0))

    /// - Parameter lifetime: seconds; nil cuts none.
    public init(to port: UInt16, cuttingAfter lifetime: UInt32? = nil) throws {
        let listener = try Socket.listening()
        self.listener = listener
        Task.detached { [weak self] in
            while let client = try? await blocking({ try listener.nextAccepted() }) {
                guard self?.isOpen == true else {
                    client.resetWhenClosed()
                    continue
                }
                let edge = try await blocking { try Socket.connected(to: "127.0.0.1", port: port) }
                for (from, to) in [(client, edge), (edge, client)] {
                    Task.detached {
                        try await blocking {
                            while case .bytes(let bytes) = from.receive() { try to.send(bytes) }
                            to.endSending()
                        }
                    }
                }
                guard let lifetime else { continue }
                Task.detached { [weak self] in
                    _ = try await blocking { sleep(lifetime) }
                    for socket in [client, edge] { shutdown(socket.descriptor, Int32(SHUT_RDWR)) }
                    self?.state.withLock { $0.cuts += 1 }
                }
            }
        }
    }

    deinit { shutdown(listener.descriptor, Int32(SHUT_RDWR)) }

    public var port: UInt16 { listener.port }
    /// Connections whose time was over.
    public var cuts: Int { state.withLock(\.cuts) }
    private var isOpen: Bool { state.withLock(\.isOpen) }

    /// Whether new connections come through.
    public func setOpen(_ isOpen: Bool) { state.withLock { $0.isOpen = isOpen } }
}
