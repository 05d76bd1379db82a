import Glibc
import LinkCarriers
import LinkUplink
import NetworkTypes
import Sodium
import TestLinks
import Testing

/// The ways to the edge: all carry the same.
@Suite(.timeLimit(.minutes(3))) struct CarrierTests {
    @Test func `A WebSocket carries a link`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        try await rig.running(try rig.uplink(connections: 2, carriers: [rig.webSocket])) { rig in
            try await transfer(through: rig, to: target)
        }
    }

    @Test func `A WebSocket at another path is not there`() async throws {
        let rig = try await LinkRig()
        let uplink = try rig.uplink(carriers: [rig.webSocket(port: rig.webSocketPort, path: "/other")])
        let run = Task { await uplink.run() }
        #expect(await comes { uplink.status[0].troubles.contains { $0.contains("no WebSocket is there") } })
        run.cancel()
        await run.value
        let port = rig.webSocketPort
        let heard = try await blocking {
            let stranger = try Socket.connected(to: "127.0.0.1", port: port)
            try stranger.send(Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
            return String(decoding: stranger.receiveAll().bytes, as: UTF8.self)
        }
        #expect(heard.hasPrefix("HTTP/1.1 404 "))
        #expect(!heard.contains("idegate"))
    }

    @Test func `A proxy is asked with its password, and by name of the edge`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        let proxy = try PlayedProxy(answer: "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n", to: rig.linkPort)
        let uplink = try rig.uplink(proxy: proxy.proxy(credentials: "user:pass word"))
        try await rig.running(uplink) { rig in
            try await transfer(through: rig, to: target)
        }
        let asked = proxy.asked
        #expect(asked.hasPrefix("CONNECT 127.0.0.1:\(rig.linkPort) HTTP/1.1\r\nHost: 127.0.0.1:\(rig.linkPort)\r\n"))
        #expect(asked.contains("\r\nProxy-Authorization: Basic dXNlcjpwYXNzIHdvcmQ=\r\n"))
    }

    @Test(arguments: [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "407"), ("HTTP/1.1 403 Forbidden\r\n\r\n", "403"),
        ("SSH-2.0-x\r\n\r\n", "no HTTP"), ("", "broke off"),
    ])
    func `A proxy that refuses is named, its password is not`(answer: String, cause: String) async throws {
        let rig = try await LinkRig()
        let proxy = try PlayedProxy(answer: answer, to: nil)
        let uplink = try rig.uplink(proxy: proxy.proxy(credentials: "user:secret"))
        let run = Task { await uplink.run() }
        #expect(await comes { uplink.status[0].troubles.contains { $0.contains(cause) && !$0.contains("secret") } })
        run.cancel()
        await run.value
    }

    @Test func `The next carrier serves where the first does not`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        var closed: Socket? = try Socket.listening()
        let dead = try rig.tls(port: closed?.port ?? 0)
        closed = nil
        let uplink = try rig.uplink(carriers: [dead, rig.webSocket, rig.carrier])
        try await rig.running(uplink) { rig in
            try await transfer(through: rig, to: target)
            let status = uplink.status[0]
            #expect(status.carrier?.hasPrefix("WebSocket") == true)
            #expect(status.troubles.count == 1)
        }
    }

    private func transfer(through rig: LinkRig, to target: Socket) async throws {
        let client = try await rig.connect(target.port)
        let server = try await blocking { try target.accepted() }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for (from, to) in [(client, server), (server, client)] {
                tasks.addTask { try await blocking { try Pattern.send(3 << 20, on: from) } }
                tasks.addTask {
                    let came = try await blocking { Pattern.receive(on: to) }
                    #expect(came == 3 << 20)
                }
            }
            try await tasks.waitForAll()
        }
    }
}
