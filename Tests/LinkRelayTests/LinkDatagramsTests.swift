import Glibc
import TestLinks
import Testing

/// UDP through a link.
@Suite(.timeLimit(.minutes(3))) struct LinkDatagramsTests {
    @Test(arguments: [0, 1, 1472, 9000, 65_507]) func `Datagrams arrive whole, and answers come back`(size: Int) async throws {
        let target = try Socket.listening(SOCK_DGRAM)
        let echo = try Echo(target)
        let rig = try await LinkRig(udp: [target.port])
        try await rig.running(try rig.uplink(connections: 2)) { rig in
            let clients = try (0..<3).map { _ in try Socket.connected(SOCK_DGRAM, to: rig.address, port: target.port) }
            for (index, client) in clients.enumerated() {
                let sent = [UInt8](repeating: UInt8(index + 1), count: size)
                // The port may not be listened at yet.
                let answer = try await blocking { () -> Socket.Outcome in
                    for _ in 0..<500 {
                        try? client.send(sent)
                        let answer = client.receive()
                        if answer == .failed(ECONNREFUSED) {
                            usleep(20_000)
                        } else {
                            return answer
                        }
                    }
                    return .failed(ETIMEDOUT)
                }
                #expect(answer == (size == 0 ? .end : .bytes(sent)))
            }
        }
        echo.stop()
    }
}

/// Sends every datagram back to where it came from.
final class Echo: Sendable {
    private let socket: Socket

    init(_ socket: Socket) throws {
        self.socket = socket
        let descriptor = socket.descriptor
        Task.detached {
            try await blocking {
                var buffer = [UInt8](repeating: 0, count: 65_536)
                while true {
                    var address = [UInt8](repeating: 0, count: 16)
                    var length = socklen_t(address.count)
                    let isOver = address.withUnsafeMutableBytes { bytes in
                        bytes.withMemoryRebound(to: sockaddr.self) { peer in
                            let count = recvfrom(descriptor, &buffer, buffer.count, 0, peer.baseAddress, &length)
                            guard count >= 0, length > 0 else { return true }
                            return sendto(descriptor, buffer, count, 0, peer.baseAddress, length) < 0
                        }
                    }
                    if isOver { return }
                }
            }
        }
    }

    func stop() { shutdown(socket.descriptor, Int32(SHUT_RDWR)) }
}
