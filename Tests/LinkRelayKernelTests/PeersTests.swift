import Glibc
import LinkProtocol
import LinkRelay
import LinkStreams
import LinkUplink
import NIOCore
import NIOPosix
import NetworkTypes
import TestLinks
import Testing

/// Links and peers of another make: the multiplexer against hashicorp's yamux in Go, WebSockets against Python's websockets, both as
/// Debian packages them (`Tests/Lab/setup`).
@Suite(.serialized, .timeLimit(.minutes(3))) struct PeersTests {
    // MARK: yamux

    @Test(arguments: [(1, 50_000_000), (50, 1_000_000), (300, 0)])
    func `Streams that a Go yamux opens come back whole`(count: Int, size: Int) async throws {
        let target = try Socket.listening()
        let echo = Task { try await serveEcho(target) }
        defer { echo.cancel() }
        let door = try Socket.listening()
        let peer = try GoPeer(["edge", "\(door.port)", "\(count)", "\(size)", "\(target.port)"])
        let host = try HostAddress(parsing: "127.0.0.1")
        let link = try await Yamux.link(.dialer, over: try await blocking { try door.accepted() }) { header in
            (try? Port(header.tunnelPort)).map { StreamTarget(host: host, port: $0) }
        }
        let said = try await blocking { peer.outcome() }
        #expect(said == "done\n")
        let end = try await link.end
        #expect(end == "as it should")
        shutdown(target.descriptor, Int32(SHUT_RDWR))
    }

    @Test(arguments: [(1, 50_000_000), (20, 1_000_000)])
    func `Streams that we open to a Go yamux come back whole`(count: Int, size: Int) async throws {
        let door = try Socket.listening()
        let peer = try GoPeer(["uplink", "\(door.port)"])
        let link = try await Yamux.link(.listener, over: try await blocking { try door.accepted() }) { _ in nil }
        let port = try await link.listen()
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for _ in 0..<count {
                let client = try await blocking { try Socket.connected(to: "127.0.0.1", port: port) }
                tasks.addTask { try await blocking { try Pattern.send(size, on: client) } }
                tasks.addTask {
                    let came = try await blocking { Pattern.receive(on: client) }
                    #expect(came == size)
                }
            }
            try await tasks.waitForAll()
        }
        link.close()
        let said = try await blocking { peer.outcome() }
        #expect(said == "done\n")
    }

    @Test func `Pings whose answers nobody reads end the link`() async throws {
        let door = try Socket.listening()
        let client = try Socket.connected(to: "127.0.0.1", port: door.port)
        // yamux: a ping that asks, number 0.
        let pings = Array(repeating: [0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0] as [UInt8], count: 10_000).flatMap(\.self)
        let flood = Task {
            try await blocking { () -> Int in
                for round in 0..<1_000 {
                    do { try client.send(pings) } catch { return round }
                }
                return 1_000
            }
        }
        await #expect(throws: LinkProtocolError.self) {
            try await Yamux.link(.listener, over: try await blocking { try door.accepted() }) { _ in nil }
        }
        // Some hundred megabytes would have been sent.
        #expect(try await flood.value < 1_000)
    }

    // MARK: WebSockets

    @Test func `A WebSocket of Python's client carries a link, in fragments and among pings`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        let bridge = try PythonBridge(["client", "ws://127.0.0.1:\(rig.webSocketPort)\(LinkRig.path)"])
        try await rig.running(try rig.uplink(carriers: [rig.tls(port: bridge.port)])) { rig in
            try await transfer(through: rig, to: target)
        }
        bridge.stop()
    }

    @Test func `A WebSocket to Python's server carries a link, in fragments and among pings`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        let bridge = try PythonBridge(["server", "\(rig.linkPort)"])
        try await rig.running(try rig.uplink(carriers: [rig.webSocket(port: bridge.port)])) { rig in
            try await transfer(through: rig, to: target)
        }
        bridge.stop()
    }

    @Test func `A link runs within the TLS of a web server in front, whose certificate is checked`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        let file = "/tmp/tidegate-front-\(getpid()).pem"
        defer { for name in [file, file + ".key"] { unlink(name) } }
        let front = try PythonBridge(["tls", "\(rig.webSocketPort)", file])
        let roots = try #require(contents(of: file))
        let uplink = try rig.uplink(carriers: [rig.webSocket(port: front.port, roots: roots)])
        try await rig.running(uplink) { rig in
            try await transfer(through: rig, to: target)
        }
        // The system's authorities do not know it.
        let distrusting = try rig.uplink(carriers: [rig.webSocket(port: front.port, isSecure: true)])
        let run = Task { await distrusting.run() }
        #expect(await comes { distrusting.status[0].troubles.contains { $0.contains("TLS with 127.0.0.1") } })
        run.cancel()
        await run.value
        front.stop()
    }

    @Test func `A link comes in by a unix socket too`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        let path = "/tmp/tidegate-links-\(getpid()).socket"
        defer { unlink(path) }
        _ = try await rig.relay.listen(at: SocketAddress(unixDomainSocketPath: path))
        let bridge = try PythonBridge(["unix", path])
        try await rig.running(try rig.uplink(carriers: [rig.tls(port: bridge.port)])) { rig in
            try await transfer(through: rig, to: target)
        }
        bridge.stop()
    }

    private func contents(of file: String) -> [UInt8]? {
        let descriptor = open(file, O_RDONLY)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = read(descriptor, &bytes, bytes.count)
        return count > 0 ? Array(bytes.prefix(count)) : nil
    }

    // MARK: size

    @Test func `A gibibyte arrives as it was`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        try await rig.running(try rig.uplink()) { rig in
            let client = try await rig.connect(target.port)
            let server = try await blocking { try target.accepted() }
            async let sent: Void = blocking { try Pattern.send(1 << 30, on: client) }
            let came = try await blocking { Pattern.receive(on: server) }
            try await sent
            #expect(came == 1 << 30)
        }
    }

    private func transfer(through rig: LinkRig, to target: Socket) async throws {
        let client = try await rig.connect(target.port)
        let server = try await blocking { try target.accepted() }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for (from, to) in [(client, server), (server, client)] {
                tasks.addTask { try await blocking { try Pattern.send(5 << 20, on: from) } }
                tasks.addTask {
                    let came = try await blocking { Pattern.receive(on: to) }
                    #expect(came == 5 << 20)
                }
            }
            try await tasks.waitForAll()
        }
    }

    private func serveEcho(_ listener: Socket) async throws {
        while !Task.isCancelled {
            let client = try await blocking { try listener.accepted() }
            Task {
                try await blocking {
                    while case .bytes(let bytes) = client.receive() { try client.send(bytes) }
                    client.endSending()
                }
            }
        }
    }
}
