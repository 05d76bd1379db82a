import Glibc
import LinkRelay
import LinkStreams
import LinkUplink
import NIOCore
import NetworkTypes
import Sodium
import TestLinks
import Testing

/// TCP connections through a link behave as without one.
@Suite(.timeLimit(.minutes(3))) struct LinkStreamsTests {
    /// A rig whose one tunnel port leads to `target`.
    private func through(
        _ target: Socket, connections: Int = 1, _ body: @Sendable (LinkRig) async throws -> Void
    ) async throws {
        let rig = try await LinkRig(tcp: [target.port])
        try await rig.running(try rig.uplink(connections: connections), body)
    }

    @Test func `The client ends first, and hears the answer`() async throws {
        let target = try Socket.listening()
        try await through(target) { rig in
            let client = try await rig.connect(target.port)
            let heard = try await blocking {
                let server = try target.accepted()
                try client.send(Array("question".utf8))
                client.endSending()
                let question = server.receiveAll()
                #expect(question.bytes == Array("question".utf8))
                #expect(question.failure == 0)
                try server.send(Array("answer".utf8))
                return server
            }
            try await expectNext(on: client, .bytes(Array("answer".utf8)))
            heard.endSending()
            try await expectNext(on: client, .end)
        }
    }

    @Test func `The server ends first, and hears the rest`() async throws {
        let target = try Socket.listening()
        try await through(target) { rig in
            let client = try await rig.connect(target.port)
            try await blocking {
                let server = try target.accepted()
                try server.send([1, 2, 3])
                server.endSending()
                let all = client.receiveAll()
                #expect(all.bytes == [1, 2, 3] && all.failure == 0)
                try client.send([4])
                #expect(server.receive() == .bytes([4]))
                client.endSending()
                #expect(server.receive() == .end)
            }
        }
    }

    @Test func `A client's reset is the server's`() async throws {
        let target = try Socket.listening()
        try await through(target) { rig in
            var client: Socket? = try await rig.connect(target.port)
            let server = try await blocking { try target.accepted() }
            try client?.send([1])
            try await expectNext(on: server, .bytes([1]))
            client?.resetWhenClosed()
            client = nil
            try await expectNext(on: server, .failed(ECONNRESET))
        }
    }

    @Test func `A server's reset is the client's`() async throws {
        let target = try Socket.listening()
        try await through(target) { rig in
            let client = try await rig.connect(target.port)
            try await blocking {
                let server = try target.accepted()
                server.resetWhenClosed()
            }
            try await expectNext(on: client, .failed(ECONNRESET))
        }
    }

    @Test func `A target that refuses resets the client`() async throws {
        var target: Socket? = try Socket.listening()
        let port = target?.port ?? 0
        target = nil
        let rig = try await LinkRig(tcp: [port])
        try await rig.running(try rig.uplink()) { rig in
            let client = try await rig.connect(port)
            try await expectNext(on: client, .failed(ECONNRESET))
        }
    }

    @Test func `A link that dies resets its streams`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        let ends = try await withThrowingTaskGroup(of: (Socket, Socket)?.self) { tasks in
            let uplink = try rig.uplink()
            tasks.addTask {
                await uplink.run()
                return nil
            }
            let client = try await rig.connect(target.port)
            let server = try await blocking { try target.accepted() }
            try client.send([1])
            try await expectNext(on: server, .bytes([1]))
            tasks.cancelAll()
            return (client, server)
        }
        try await expectNext(on: ends.0, .failed(ECONNRESET))
        try await expectNext(on: ends.1, .failed(ECONNRESET))
        // Without a link nothing listens.
        let address = rig.address
        #expect(await comes { await isRefused(address, target.port) })
    }

    @Test func `A network that is gone is noticed, and resets the streams at both ends`() async throws {
        let target = try Socket.listening()
        var timing = LinkTiming()
        timing.ping = .milliseconds(100)
        timing.silence = .seconds(2)
        let rig = try await LinkRig(tcp: [target.port], timing: timing)
        let network = try PlayedProxy(answer: "HTTP/1.1 200 OK\r\n\r\n", to: rig.linkPort)
        let uplink = try rig.uplink(proxy: network.proxy(credentials: "a:b"), timing: timing)
        try await rig.running(uplink) { rig in
            let client = try await rig.connect(target.port)
            let server = try await blocking { try target.accepted() }
            // It lives while pings are answered.
            try await Task.sleep(for: .seconds(3))
            try client.send([1])
            try await expectNext(on: server, .bytes([1]))
            network.hold()
            try await expectNext(on: client, .failed(ECONNRESET))
            try await expectNext(on: server, .failed(ECONNRESET))
        }
    }

    @Test func `New connections go by the link that answers, seconds after another's network is gone`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        let network = try PlayedProxy(answer: "HTTP/1.1 200 OK\r\n\r\n", to: rig.linkPort)
        let cut = try rig.uplink(proxy: network.proxy(credentials: "a:b"))
        let other = try rig.uplink()
        try await rig.running(cut) { rig in
            let task = Task { await other.run() }
            defer { task.cancel() }
            #expect(await comes { await rig.relay.status.first?.links.count == 2 })
            network.hold()
            // A ping is due within 1 s, and 1.2 s without its answer are a doubt; the rest is for a busy machine. The link ends after 15 s.
            try await Task.sleep(for: .seconds(6))
            for _ in 0..<40 {
                let client = try await rig.connect(target.port)
                let server = try await blocking { try target.accepted() }
                try client.send([1])
                try await expectNext(on: server, .bytes([1]))
            }
        }
    }

    @Test func `A link that falls silent is followed by another before it is dead`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        let network = try PlayedProxy(answer: "HTTP/1.1 200 OK\r\n\r\n", to: rig.linkPort)
        let uplink = try rig.uplink(proxy: network.proxy(credentials: "a:b"))
        try await rig.running(uplink) { rig in
            network.holdThose()
            let begin = ContinuousClock.now
            #expect(await comes { await uplink.totals.links == 2 })
            // A second to the ping, 1.2 of doubt, and one more; the rest is for a busy machine. The silent one would live for 15.
            #expect(ContinuousClock.now - begin < .seconds(10))
            let client = try await rig.connect(target.port)
            let server = try await blocking { try target.accepted() }
            try client.send([1])
            try await expectNext(on: server, .bytes([1]))
        }
    }

    @Test func `An uplink whose network is gone refuses connections while another answers, and takes them when it is the last`()
        async throws
    {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        let otherKey = try LinkPrivateKey.generate()
        let otherAddress = "127.99.\(getpid() / 250 % 250).\(1 + getpid() % 250)"
        var service = rig.service
        service.uplinks.append(RelayUplink(pin: otherKey.pin, address: try IPv4Address(parsing: otherAddress)))
        rig.relay.update(service)
        let network = try PlayedProxy(answer: "HTTP/1.1 200 OK\r\n\r\n", to: rig.linkPort)
        let cut = try rig.uplink(proxy: network.proxy(credentials: "a:b"))
        let other = try rig.uplink(key: otherKey)
        try await rig.running(cut) { rig in
            let task = Task { await other.run() }
            #expect(await comes { await rig.relay.status.filter(\.isReady).count == 2 })
            network.hold()
            let address = rig.address
            #expect(await comes { await isRefused(address, target.port) })
            #expect(await !isRefused(otherAddress, target.port))
            task.cancel()
            await task.value
            // Nobody else is left, and the link may be slow and no more: it lives for 15 s.
            #expect(await comes { await !isRefused(address, target.port) })
        }
    }

    @Test(arguments: [1, 3]) func `Many bytes arrive as they were, both ways at a time`(connections: Int) async throws {
        let target = try Socket.listening()
        try await through(target, connections: connections) { rig in
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for _ in 0..<4 {
                    let client = try await rig.connect(target.port)
                    let server = try await blocking { try target.accepted() }
                    for (from, to) in [(client, server), (server, client)] {
                        tasks.addTask { try await blocking { try Pattern.send(24 << 20, on: from) } }
                        tasks.addTask {
                            let came = try await blocking { Pattern.receive(on: to) }
                            #expect(came == 24 << 20)
                        }
                    }
                }
                try await tasks.waitForAll()
            }
        }
    }

    @Test func `A reader that stops holds up only itself`() async throws {
        let target = try Socket.listening()
        try await through(target) { rig in
            let stopped = try await rig.connect(target.port)
            stopped.setReceiveBuffer(4096)
            let flooding = try await blocking { try target.accepted() }
            // It ends by the reset when its client goes.
            let flood = Task { try await blocking { try? Pattern.send(1 << 30, on: flooding) } }
            try await Task.sleep(for: .milliseconds(300))
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for _ in 0..<8 {
                    let client = try await rig.connect(target.port)
                    let server = try await blocking { try target.accepted() }
                    tasks.addTask { try await blocking { try Pattern.send(8 << 20, on: server) } }
                    tasks.addTask {
                        let came = try await blocking { Pattern.receive(on: client) }
                        #expect(came == 8 << 20)
                    }
                }
                try await tasks.waitForAll()
            }
            #expect(stopped.receive(atMost: 1) == .bytes([0]))
            stopped.resetWhenClosed()
            shutdown(stopped.descriptor, Int32(SHUT_RDWR))
            flooding.resetWhenClosed()
            shutdown(flooding.descriptor, Int32(SHUT_RDWR))
            _ = try await flood.value
        }
    }

    @Test func `Hundreds of connections come and go`() async throws {
        let target = try Socket.listening()
        try await through(target, connections: 2) { rig in
            for round in 0..<6 {
                var pairs: [(Socket, Socket)] = []
                for _ in 0..<50 {
                    let client = try await rig.connect(target.port)
                    pairs.append((client, try await blocking { try target.accepted() }))
                }
                let all = pairs
                try await blocking {
                    for (client, _) in all { try client.send([UInt8(round)]) }
                    for (_, server) in all { #expect(server.receive() == .bytes([UInt8(round)])) }
                    for (client, server) in all {
                        client.endSending()
                        server.endSending()
                    }
                    for (client, server) in all {
                        #expect(client.receive() == .end)
                        #expect(server.receive() == .end)
                    }
                }
            }
            #expect(await comes { await rig.relay.status.flatMap(\.links).allSatisfy { $0.openStreams == 0 } })
        }
    }
}
