import Glibc
import LinkCarriers
import LinkProtocol
import LinkRelay
import LinkStreams
import LinkUplink
import NIOCore
import NetworkTypes
import Sodium
import TestLinks
import Testing

/// Who may link, and what a stranger learns.
@Suite(.timeLimit(.minutes(3))) struct LinkTrustTests {
    @Test func `An uplink of another key is refused, and the edge serves nothing`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        let stranger = try rig.uplink(key: .generate())
        let run = Task { await stranger.run() }
        #expect(await comes { stranger.status[0].troubles.contains { $0.contains("does not know this uplink's key") } })
        #expect(await rig.relay.status.isEmpty)
        #expect(throws: SocketError(code: ECONNREFUSED)) { try Socket.connected(to: rig.address, port: target.port) }
        run.cancel()
        await run.value
    }

    @Test func `An edge of another key is not talked to`() async throws {
        let rig = try await LinkRig()
        let uplink = try rig.uplink(pin: LinkPrivateKey.generate().pin)
        let run = Task { await uplink.run() }
        #expect(await comes { uplink.status[0].troubles.contains { $0.contains("compare the pin") } })
        #expect(await rig.relay.status.isEmpty)
        run.cancel()
        await run.value
    }

    @Test func `A key that is revoked ends its links and its ports`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        try await rig.running(try rig.uplink()) { rig in
            let client = try await rig.connect(target.port)
            let server = try await blocking { try target.accepted() }
            rig.relay.update(RelayService(uplinks: [], tcpPorts: rig.service.tcpPorts, udpPorts: []))
            try await expectNext(on: client, .failed(ECONNRESET))
            try await expectNext(on: server, .failed(ECONNRESET))
            let address = rig.address
            #expect(await comes { await isRefused(address, target.port) })
            #expect(await rig.relay.status.isEmpty)
        }
    }

    @Test func `A key that is revoked ends its links that have said goodbye too`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        let uplink = try rig.uplink()
        try await rig.running(uplink) { rig in
            let client = try await rig.connect(target.port)
            let server = try await blocking { try target.accepted() }
            uplink.drain()
            let address = rig.address
            #expect(await comes { await isRefused(address, target.port) })
            rig.relay.update(RelayService(uplinks: [], tcpPorts: rig.service.tcpPorts, udpPorts: []))
            try await expectNext(on: client, .failed(ECONNRESET))
            try await expectNext(on: server, .failed(ECONNRESET))
        }
    }

    /// Each port that was listened at had all of them looked at again.
    @Test func `Five hundred ports are listened at, and follow their link`() async throws {
        let target = try Socket.listening()
        let ports = (0..<500).map { UInt16(20_000 + $0) }
        let rig = try await LinkRig(tcp: [target.port] + ports, udp: ports)
        let last = ports[499]
        let address = rig.address
        for _ in 0..<2 {
            try await rig.running(try rig.uplink(connections: 4)) { rig in
                for port in [last, ports[0]] { #expect(await comes { await !isRefused(address, port) }) }
                #expect(await comes { await rig.relay.status.first?.links.count == 4 })
                let client = try await rig.connect(target.port)
                let server = try await blocking { try target.accepted() }
                try client.send([1])
                try await expectNext(on: server, .bytes([1]))
            }
            for port in [last, ports[0]] { #expect(await comes { await isRefused(address, port) }) }
        }
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\u{0}\u{1}\u{2}\u{3}", String(repeating: "x", count: 100_000), "SSH-2.0-x\r\n",
    ])
    func `A stranger who speaks no TLS learns nothing`(words: String) async throws {
        let rig = try await LinkRig()
        let port = rig.linkPort
        let heard = try await blocking {
            let stranger = try Socket.connected(to: "127.0.0.1", port: port)
            try? stranger.send(Array(words.utf8))
            stranger.endSending()
            return stranger.receiveAll().bytes
        }
        // At most an alert of TLS (RFC 8446, section 6): seven bytes that say what every TLS server says.
        #expect(heard.count <= 7)
        #expect(heard.isEmpty || heard[0] == 21)
    }

    @Test func `Two thousand strangers who say nothing hold up nobody`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        let linkPort = rig.linkPort
        let strangers = try await blocking {
            try (0..<2_000).map { _ in try Socket.connected(to: "127.0.0.1", port: linkPort) }
        }
        try await rig.running(try rig.uplink()) { rig in
            let client = try await rig.connect(target.port)
            let server = try await blocking { try target.accepted() }
            try client.send([5])
            try await expectNext(on: server, .bytes([5]))
        }
        // The oldest had to go.
        try await expectNext(on: strangers[0], .end)
    }

    @Test func `The edge hears who links, whether it is ready, and its status`() async throws {
        let rig = try await LinkRig()
        let uplink = try rig.uplink(connections: 2)
        uplink.setStatus([1, 2, 3])
        try await rig.running(uplink) { rig in
            #expect(
                await comes {
                    let status = await rig.relay.status
                    return status.count == 1 && status[0].links.count == 2 && status[0].isReady && status[0].word == [1, 2, 3]
                })
            let link = await rig.relay.status[0].links[0]
            #expect(link.build == "test" && link.instance == 9)
            uplink.setReady(false)
            #expect(await comes { await rig.relay.status.allSatisfy { !$0.isReady } })
        }
    }

    @Test func `Ports come and go, and connections of those that go go on`() async throws {
        let first = try Socket.listening()
        let second = try Socket.listening()
        let rig = try await LinkRig(tcp: [first.port])
        try await rig.running(try rig.uplink(connections: 2)) { rig in
            let client = try await rig.connect(first.port)
            let server = try await blocking { try first.accepted() }
            #expect(await isRefused(rig.address, second.port))
            var service = rig.service
            service.tcpPorts = [try Port(second.port)]
            rig.relay.update(service)
            let other = try await rig.connect(second.port)
            let otherServer = try await blocking { try second.accepted() }
            let (address, port) = (rig.address, first.port)
            #expect(await comes { await isRefused(address, port) })
            for (from, to) in [(client, server), (server, client), (other, otherServer)] {
                try from.send([3])
                try await expectNext(on: to, .bytes([3]))
            }
        }
    }

    @Test func `A port that another holds is told, and taken when it is free`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        var squatter: Socket? = try Socket.listening(at: rig.address, port: target.port)
        try await rig.running(try rig.uplink()) { rig in
            #expect(await comes { await rig.relay.status.first?.refusedPorts.first?.hasPrefix("tcp \(target.port): ") == true })
        }
        #expect(squatter?.port == target.port)
        squatter = nil
        try await rig.running(try rig.uplink()) { rig in _ = try await rig.connect(target.port) }
    }

    @Test func `An edge that drains lets connections go on and takes no new ones`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        try await rig.running(try rig.uplink()) { rig in
            let client = try await rig.connect(target.port)
            let server = try await blocking { try target.accepted() }
            rig.relay.drain()
            let address = rig.address
            #expect(await comes { await isRefused(address, target.port) })
            try client.send([1])
            try await expectNext(on: server, .bytes([1]))
            try server.send([2])
            try await expectNext(on: client, .bytes([2]))
            client.endSending()
            server.endSending()
            try await expectNext(on: client, .end)
            #expect(await comes { await rig.relay.status.flatMap(\.links).isEmpty })
        }
    }
}
