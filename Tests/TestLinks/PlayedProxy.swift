import Glibc
public import LinkCarriers
import NetworkTypes
import Sodium
import Synchronization

/// An HTTP proxy for one connection after another: gives one answer to all, and leads on to a port of 127.0.0.1.
public final class PlayedProxy: Sendable {
    private let listener: Socket
    private let request = Mutex("")
    private let accepted = Atomic(0)
    /// Connections up to that number are held.
    private let held = Atomic(0)

    /// `port` nil ends the connection after the answer.
    public init(answer: String, to port: UInt16?) throws {
        let listener = try Socket.listening()
        self.listener = listener
        Task.detached { [weak self] in
            while let client = try? await blocking({ try listener.nextAccepted() }) {
                let number = self?.accepted.add(1, ordering: .relaxed).newValue ?? 0
                let asked = try await blocking { () -> String in
                    var head: [UInt8] = []
                    while !head.suffix(4).elementsEqual("\r\n\r\n".utf8), case .bytes(let byte) = client.receive(atMost: 1) {
                        head += byte
                    }
                    try client.send(Array(answer.utf8))
                    return String(decoding: head, as: UTF8.self)
                }
                self?.request.withLock { $0 = asked }
                guard let port else { continue }
                let edge = try await blocking { try Socket.connected(to: "127.0.0.1", port: port) }
                for (from, to) in [(client, edge), (edge, client)] {
                    Task.detached { [weak self] in
                        try await blocking { [weak self] in
                            while case .bytes(let bytes) = from.receive() {
                                if number > self?.held.load(ordering: .relaxed) ?? 0 { try to.send(bytes) }
                            }
                            to.endSending()
                        }
                    }
                }
            }
        }
    }

    deinit { shutdown(listener.descriptor, Int32(SHUT_RDWR)) }

    /// From now on what comes is dropped, and nobody told: as behind a network that is gone.
    public func hold() { held.store(.max, ordering: .relaxed) }

    /// The same of the connections that there are; others pass.
    public func holdThose() { held.store(accepted.load(ordering: .relaxed), ordering: .relaxed) }

    /// What it was asked last.
    public var asked: String { request.withLock(\.self) }

    public func proxy(credentials: String) throws -> HTTPProxy {
        HTTPProxy(
            host: try HostAddress(parsing: "127.0.0.1"), port: try Port(listener.port),
            credentials: try SecretBytes(copying: Array(credentials.utf8)))
    }
}
