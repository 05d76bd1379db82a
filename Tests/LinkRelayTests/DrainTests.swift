import Glibc
import LinkUplink
import TestLinks
import Testing

/// Links that make place for others while requests come.
@Suite(.timeLimit(.minutes(3))) struct DrainTests {
    @Test func `A link that says goodbye costs no request and ends`() async throws {
        let target = try Socket.listening()
        let server = Task {
            while !Task.isCancelled {
                let client = try await blocking { try target.accepted() }
                try await blocking {
                    try client.send(Array("hello".utf8))
                    client.endSending()
                }
            }
        }
        defer { server.cancel() }
        let rig = try await LinkRig(tcp: [target.port])
        let lasting = try rig.uplink()
        let (address, port) = (rig.address, target.port)
        try await rig.running(lasting) { rig in
            _ = try await rig.connect(port)
            for _ in 0..<20 {
                let passing = try rig.uplink()
                let run = Task { await passing.run() }
                let asking = Task {
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
        shutdown(target.descriptor, Int32(SHUT_RDWR))
    }
}
