import Glibc
import LinkCarriers
import LinkProtocol
import LinkRelay
import LinkUplink
import NIOCore
import NetworkTypes
import NodeDocument
import Sodium
import TestFiles
import TestLinks
import Testing

/// Doors behind Envoy, and the program that keeps them.
@Suite(.timeLimit(.minutes(3))) struct EnvoyDoorTests {
    /// PROXY of version 2: 192.0.2.7:4711 to 198.51.100.1:443.
    static let header: [UInt8] =
        [0x0D, 0x0A, 0x0D, 0x0A, 0, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A, 0x21, 0x11, 0, 12]
        + [192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xBB]

    /// Plays Envoy: leads connections on to a door, with a header before the bytes.
    private func envoy(to address: String = "127.0.0.1", _ port: UInt16, _ header: [UInt8] = header) throws -> (
        port: UInt16, listener: Socket
    ) {
        let listener = try Socket.listening()
        Task.detached {
            while let client = try? await blocking({ try listener.nextAccepted() }) {
                guard let door = try? await blocking({ try Socket.connected(to: address, port: port) }) else { continue }
                // In two pieces, as a network may bring it.
                try? door.send(Array(header.prefix(9)))
                usleep(20_000)
                try? door.send(Array(header.dropFirst(9)))
                for (from, to) in [(client, door), (door, client)] {
                    Task.detached {
                        _ = try? await blocking {
                            while case .bytes(let bytes) = from.receive() { try to.send(bytes) }
                            to.endSending()
                        }
                    }
                }
            }
        }
        return (listener.port, listener)
    }

    @Test(arguments: [false, true]) func `A link that comes by Envoy is known by its client`(isWebSocket: Bool) async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        let address = try SocketAddress(ipAddress: "127.0.0.1", port: 0)
        let door = try #require(
            try await rig.relay.listen(
                at: address, for: isWebSocket ? .webSocket(path: LinkRig.path) : .tls, isBehindEnvoy: true))
        let (port, listener) = try envoy(to: "127.0.0.1", UInt16(door))
        defer { shutdown(listener.descriptor, Int32(SHUT_RDWR)) }
        let carrier = try isWebSocket ? rig.webSocket(port: port) : rig.tls(port: port)
        try await rig.running(try rig.uplink(carriers: [carrier])) { rig in
            #expect(await rig.relay.status.first?.links.map(\.source) == ["192.0.2.7:4711"])
            let client = try await rig.connect(target.port)
            let server = try await blocking { try target.accepted() }
            try client.send([1, 2, 3])
            try await expectNext(on: server, .bytes([1, 2, 3]))
        }
    }

    @Test(arguments: [[], Array("GET / HTTP/1.1\r\n\r\n".utf8), Array(header.dropLast(4)), [0x16, 3, 1, 0, 1]] as [[UInt8]])
    func `Whoever writes no header gets nothing`(bytes: [UInt8]) async throws {
        let rig = try await LinkRig()
        let door = try await rig.relay.listen(
            at: try SocketAddress(ipAddress: "127.0.0.1", port: 0), isBehindEnvoy: true)
        let port = UInt16(try #require(door))
        let answer = try await blocking {
            let client = try Socket.connected(to: "127.0.0.1", port: port)
            try client.send(bytes)
            // A header that is not whole is waited for, as long as for any stranger.
            if bytes.count < Self.header.count { client.endSending() }
            return client.receiveAll().bytes
        }
        #expect(answer == [])
    }

    // MARK: the program

    /// The program's folders, an address and a key.
    private struct Program {
        let folder: TemporaryFolder
        let key: LinkPrivateKey
        let uplinkKey: LinkPrivateKey
        let door: IPv4Address
        let uplink: LinkedUplink
        let service: LinkService

        /// - Parameter number: of a test; each has addresses of its own.
        init(_ number: Int) throws {
            folder = try TemporaryFolder()
            key = try .generate()
            uplinkKey = try .generate()
            let base = 0x7F58_0000 + UInt32(getpid() % 250 + 1) << 8 + UInt32(number) * 2
            door = IPv4Address(number: base)
            uplink = LinkedUplink(ordinal: 3, address: IPv4Address(number: base + 1), pin: uplinkKey.pin)
            service = LinkService(
                folder: folder.path, statusFolder: folder.path, build: "program", key: key, door: door, logger: LinkRig.logger)
        }

        func write(_ ports: [UInt16], uplinks: [LinkedUplink]? = nil) throws {
            let file = LinkServiceFile(
                uplinks: uplinks ?? [uplink], tcpPorts: try ports.map { try Port($0) }, udpPorts: [], carriers: [.tls], path: "/p"
            )
            try writeRaw(DocumentJSON.encode(file))
        }

        func writeRaw(_ bytes: [UInt8]) throws {
            let path = "\(folder.path)/link.json"
            let file = open(path + ".new", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
            _ = Glibc.write(file, bytes, bytes.count)
            close(file)
            rename(path + ".new", path)
        }

        var status: LinkStatusFile? {
            guard let file = fopen("\(folder.path)/links.json", "r") else { return nil }
            defer { fclose(file) }
            var bytes = [UInt8](repeating: 0, count: 1 << 16)
            let count = fread(&bytes, 1, bytes.count, file)
            return try? DocumentJSON.decode(LinkStatusFile.self, from: bytes.prefix(count), within: LinkStatusFile.bounds)
        }
    }

    @Test func `The program follows its file, tells what it has, and drains`() async throws {
        let program = try Program(1)
        let target = try Socket.listening()
        let second = try Socket.listening()
        try program.write([target.port])
        let rig = try await LinkRig()
        let (port, listener) = try envoy(to: "\(program.door)", Port.linkDoor.number)
        defer { shutdown(listener.descriptor, Int32(SHUT_RDWR)) }
        let (stops, stop) = AsyncStream.makeStream(of: LinkService.Ending.self)
        let service = program.service
        let over = Task {
            try await service.run {
                for await ending in stops { return ending }
                return .stopped
            }
        }
        let uplink = try rig.uplink(key: program.uplinkKey, pin: program.key.pin, carriers: [try rig.tls(port: port)])
        let dialing = Task { await uplink.run() }
        defer { dialing.cancel() }
        let address = "\(program.uplink.address)"

        #expect(await comes { program.status?.uplinks.first?.links.first?.peer == "192.0.2.7:4711" })
        let told = try #require(program.status?.uplinks.first)
        #expect(told.ordinal == 3 && told.address == program.uplink.address && program.status?.build == "program")
        #expect(await comes { await !isRefused(address, target.port) })

        // A broken file, and one with a fault, leave what is in force; a good one is taken up.
        let stray = LinkedUplink(ordinal: 3, address: IPv4Address(number: 0x7F00_0001), pin: program.uplinkKey.pin)
        try program.write([second.port], uplinks: [stray])
        try program.writeRaw(Array("{".utf8))
        try await Task.sleep(for: .milliseconds(1500))
        #expect(await !isRefused(address, target.port))
        try program.write([target.port, second.port])
        #expect(await comes { await !isRefused(address, second.port) })

        // Told to stop, it takes nothing new and goes when the last connection does.
        let client = try await blocking { try Socket.connected(to: address, port: second.port) }
        try client.send([9])
        let server = try await blocking { () -> Socket in
            // Those that looked whether the port is open may have come too, and say nothing.
            while true {
                let server = try second.accepted()
                if case .bytes = server.receive() { return server }
            }
        }
        stop.yield(.replaced)
        try await Task.sleep(for: .milliseconds(300))
        #expect(await !isRefused(address, second.port), "the uplink has found no other yet")
        stop.yield(.stopped)
        #expect(await comes { await isRefused(address, second.port) })
        try client.send([7])
        try await expectNext(on: server, .bytes([7]))
        client.endSending()
        try await expectNext(on: server, .end)
        server.endSending()
        try await expectNext(on: client, .end)
        try await over.value
    }

    @Test func `Without a file, or with doors that are taken, the program says so and ends`() async throws {
        let program = try Program(3)
        await #expect { try await program.service.run { .stopped } } throws: { "\($0)".contains("link.json cannot be read") }
        try program.writeRaw(Array("{}".utf8))
        await #expect { try await program.service.run { .stopped } } throws: { "\($0)".contains("link.json: ") }
        try program.write([40_500])
        let taken = try Socket.listening(at: "\(program.door)", port: Port.linkDoor.number)
        await #expect(throws: (any Error).self) { try await program.service.run { .stopped } }
        withExtendedLifetime(taken) {}
    }
}
