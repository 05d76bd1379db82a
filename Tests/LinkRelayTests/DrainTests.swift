import Glibc
import LinkCarriers
import LinkRelay
import LinkStreams
import LinkUplink
import NIOCore
import Sodium
import TestLinks
import Testing

/// Links that make place for others while requests come.
@Suite(.timeLimit(.minutes(3))) struct DrainTests {
    /// A target that says hello and ends.
    private final class Greeter: Sendable {
        let target: Socket
        private let serving: Task<Void, any Error>

        init() throws {
            let target = try Socket.listening()
            self.target = target
            serving = Task {
                while !Task.isCancelled {
                    let client = try await blocking { try target.accepted() }
                    try await blocking {
                        try client.send(Array("hello".utf8))
                        client.endSending()
                    }
                }
            }
        }

        func stop() {
            serving.cancel()
            shutdown(target.descriptor, Int32(SHUT_RDWR))
        }
    }

    /// Asks again and again until it is cancelled.
    /// - Returns: what failed.
    private func asking(_ address: String, _ port: UInt16) -> Task<[String], Never> {
        Task {
            var failed: [String] = []
            while !Task.isCancelled {
                let clock = ContinuousClock.now
                let answer = try? await blocking { try Socket.connected(to: address, port: port).receiveAll() }
                if answer?.bytes != Array("hello".utf8) || answer?.failure != 0 {
                    failed.append("\(String(describing: answer)) after \(ContinuousClock.now - clock)")
                }
            }
            return failed
        }
    }

    @Test func `A link that says goodbye costs no request and ends`() async throws {
        let greeter = try Greeter()
        defer { greeter.stop() }
        let rig = try await LinkRig(tcp: [greeter.target.port])
        let (address, port) = (rig.address, greeter.target.port)
        try await rig.running(try rig.uplink()) { rig in
            _ = try await rig.connect(port)
            for _ in 0..<20 {
                let passing = try rig.uplink()
                let run = Task { await passing.run() }
                let asking = asking(address, port)
                #expect(await comes { passing.status.contains { $0.index != nil } })
                try await Task.sleep(for: .milliseconds(50))
                let clock = ContinuousClock.now
                passing.drain()
                await run.value
                let took = ContinuousClock.now - clock
                asking.cancel()
                let failed = await asking.value
                #expect(failed == [])
                #expect(took < .seconds(5), "\(took)")
            }
        }
    }

    @Test(arguments: [1, 2]) func `An edge that makes place for another costs no request`(connections: Int) async throws {
        let greeter = try Greeter()
        defer { greeter.stop() }
        let rig = try await LinkRig(tcp: [greeter.target.port])
        let (address, port) = (rig.address, greeter.target.port)
        try await rig.running(try rig.uplink(connections: connections)) { rig in
            _ = try await rig.connect(port)
            let asking = asking(address, port)
            let follower = try await rig.follower()
            rig.relay.leave()
            #expect(await comes { rig.relay.openLinks == 0 && follower.openLinks == connections })
            try await Task.sleep(for: .milliseconds(200))
            asking.cancel()
            let failed = await asking.value
            // A VPS has net.ipv4.tcp_migrate_req; without it a listener that closes resets what it has not accepted.
            #expect(failed.count <= connections && failed.allSatisfy { $0.contains("failure: 104") }, "\(failed)")
        }
    }

    @Test func `An edge that makes place for one with another key serves until the uplinks know that`() async throws {
        let greeter = try Greeter()
        defer { greeter.stop() }
        let rig = try await LinkRig(tcp: [greeter.target.port])
        let (address, port) = (rig.address, greeter.target.port)
        let key = try LinkPrivateKey.generate()
        let former = try rig.uplink()
        try await rig.running(former) { rig in
            _ = try await rig.connect(port)
            let asking = asking(address, port)
            let follower = try await rig.follower(key: key)
            rig.relay.leave()
            // Its uplink takes the new one for a stranger, again and again.
            try await Task.sleep(for: .seconds(2))
            #expect(rig.relay.openLinks == 1 && follower.openLinks == 0)
            let next = try rig.uplink(pin: key.pin)
            let run = Task { await next.run() }
            #expect(await comes { follower.openLinks == 1 })
            try await Task.sleep(for: .milliseconds(200))
            former.drain()
            #expect(await comes { rig.relay.openLinks == 0 })
            asking.cancel()
            let failed = await asking.value
            #expect(failed.count <= 1 && failed.allSatisfy { $0.contains("failure: 104") }, "\(failed)")
            run.cancel()
            await run.value
        }
    }

    @Test func `An edge whose uplinks find no other says goodbye in the end`() async throws {
        let target = try Socket.listening()
        var timing = LinkTiming()
        timing.handover = .milliseconds(700)
        let rig = try await LinkRig(tcp: [target.port], timing: timing)
        try await rig.running(try rig.uplink()) { rig in
            let client = try await rig.connect(target.port)
            let server = try await blocking { try target.accepted() }
            rig.relay.leave()
            let address = rig.address
            #expect(await !isRefused(address, target.port))
            #expect(await comes { await isRefused(address, target.port) })
            try client.send([1])
            try await expectNext(on: server, .bytes([1]))
        }
    }
}
