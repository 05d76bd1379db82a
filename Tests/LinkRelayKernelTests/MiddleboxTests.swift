import Glibc
import LinkCarriers
import LinkUplink
import TestLinks
import Testing

/// Links and what cuts them, in real time.
@Suite(.serialized, .timeLimit(.minutes(4))) struct MiddleboxTests {
    private func serveHello(_ listener: Socket) -> Task<Void, any Error> {
        Task {
            while !Task.isCancelled {
                let client = try await blocking { try listener.nextAccepted() }
                // Whose link was cut meanwhile takes nothing; the others are served all the same.
                try? await blocking {
                    try client.send(Array("hello".utf8))
                    client.endSending()
                }
            }
        }
    }

    /// Whether a short request through the links is answered whole.
    private func isServed(_ rig: LinkRig, _ port: UInt16) async -> Bool {
        let address = rig.address
        let answer = try? await blocking { () -> (bytes: [UInt8], failure: Int32) in
            try Socket.connected(to: address, port: port).receiveAll()
        }
        return answer?.failure == 0 && answer?.bytes == Array("hello".utf8)
    }

    @Test func `A middlebox that cuts each connection at an age costs no request, once two were cut`() async throws {
        let target = try Socket.listening()
        let server = serveHello(target)
        defer { server.cancel() }
        let rig = try await LinkRig(tcp: [target.port])
        let middlebox = try Middlebox(to: rig.linkPort, cuttingAfter: 12)
        let uplink = try rig.uplink(connections: 2, carriers: [rig.tls(port: middlebox.port)])
        try await rig.running(uplink) { rig in
            _ = try await rig.connect(target.port)
            var (asked, lost) = (0, 0)
            var failed: [String] = []
            let clock = ContinuousClock.now
            var known: ContinuousClock.Instant?
            while ContinuousClock.now - clock < .seconds(50) {
                asked += 1
                // What was on one of the first two links, or came before both ends knew of the cut, went with it: nothing told of their end.
                if known == nil, middlebox.cuts >= 2 { known = .now + .milliseconds(500) }
                let asking = ContinuousClock.now
                let isKnown = known.map { asking >= $0 } ?? false
                if await !isServed(rig, target.port), isKnown {
                    failed.append("at \(asking - clock) for \(ContinuousClock.now - asking)")
                }
                if uplink.status.allSatisfy({ $0.index == nil }) { lost += 1 }
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(failed == [], "of \(asked)")
            #expect(lost == 0, "never without a link")
            let totals = await uplink.totals
            #expect(totals.links >= 8 && totals.links < 20, "\(totals)")
        }
        shutdown(target.descriptor, Int32(SHUT_RDWR))
    }

    @Test func `Links return to the preferred carrier, and the stream that is open stays whole`() async throws {
        let target = try Socket.listening()
        let rig = try await LinkRig(tcp: [target.port])
        let preferred = try Middlebox(to: rig.linkPort)
        preferred.setOpen(false)
        let uplink = try rig.uplink(carriers: [rig.tls(port: preferred.port), rig.webSocket])
        try await rig.running(uplink) { rig in
            #expect(uplink.status[0].index == 1)
            #expect(uplink.status[0].causes.keys.elementsEqual([0]))
            let client = try await rig.connect(target.port)
            let server = try await blocking { try target.accepted() }
            try client.send([1])
            try await expectNext(on: server, .bytes([1]))
            preferred.setOpen(true)
            let clock = ContinuousClock.now
            while uplink.status[0].index != 0, ContinuousClock.now - clock < .seconds(60) {
                try await Task.sleep(for: .milliseconds(100))
            }
            #expect(uplink.status[0].index == 0)
            #expect(uplink.status[0].troubles.isEmpty)
            try server.send([2])
            try await expectNext(on: client, .bytes([2]))
            let other = try await rig.connect(target.port)
            let second = try await blocking { try target.accepted() }
            try other.send([3])
            try await expectNext(on: second, .bytes([3]))
        }
    }
}
