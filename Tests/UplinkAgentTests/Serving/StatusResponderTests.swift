import HTTPServing
import HostNetwork
import NIOCore
import NIOHTTP1
import NIOPosix
import NetworkTypes
import NodeDocument
import Sodium
import Testing

@testable import UplinkAgent

@Suite struct StatusResponderTests {
    private let store = UplinkStore(ordinal: 0)
    private let responder: StatusResponder
    private let pages: StatusPages
    private let relay = ConnectionSource.v4(0x0AC8_0001)

    init() throws {
        pages = StatusPages(store: store, threads: .singleton)
        responder = StatusResponder(store: store, pages: pages)
    }

    private func answer(_ path: String, at door: StatusDoor = .others) async throws -> HTTPAnswer {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let responder = responder
        return try await loop.flatSubmit { responder.answer(HTTPRequest(.GET, path), at: door, on: loop) }.get()
    }

    private func makeReady() throws {
        let relayAddress = try IPv4Address(parsing: "10.200.0.1")
        store.update { condition in
            condition.hash = SHA256.digest(of: "document")
            condition.watcherLives = true
            condition.lastHandshake = 1000
            condition.relayAddress = relayAddress
        }
    }

    @Test(arguments: [
        ("/ready", 503), ("/healthz", 200), ("/status", 200), ("/metrics", 200), ("/ready?x=1", 503), ("/", 404),
        ("/../ready", 404),
    ])
    func everyPathHasItsAnswer(path: String, status: UInt) async throws {
        #expect(try await answer(path).status.code == status)
    }

    @Test func theKubeletsPortHasNoLargePages() async throws {
        #expect(try await answer("/status", at: .kubelet).status == .notFound)
        #expect(try await answer("/metrics", at: .kubelet).status == .notFound)
        #expect(try await answer("/healthz", at: .kubelet).status == .ok)
        #expect(try await answer("/ready", at: .kubelet).status == .serviceUnavailable)
    }

    @Test func theStatusIsAReport() async throws {
        let body = try await answer("/status").body
        let report = try DocumentJSON.decode(UplinkReport.self, from: Array(body.readableBytesView))
        #expect(!report.ready)
        #expect(report.reason == "no document has been applied yet")
    }

    private func ask(_ door: StatusDoor, at moment: Moment, from source: ConnectionSource? = nil, envoy: Bool = false) -> (
        code: UInt, number: UInt64?
    ) {
        var request = HTTPRequest(.GET, "/ready", from: source ?? (door == .relay ? relay : .unknown))
        if envoy { request.fields.add(name: "User-Agent", value: "Envoy/HC") }
        let answer = responder.ready(request, at: door, moment)
        return (answer.status.code, answer.fields.first(name: StatusResponder.statusField).flatMap { UInt64($0) })
    }

    /// The relay learns from each answer whether new bindings are taken up; nobody else needs to.
    @Test func theRelayIsToldWhichDocumentIsInForce() throws {
        func told(_ door: StatusDoor) -> String? {
            let request = HTTPRequest(.GET, "/ready", from: door == .relay ? relay : .unknown)
            return responder.ready(request, at: door, Moment(wall: 1000, steady: .zero)).fields.first(
                name: StatusResponder.documentField)
        }
        #expect(told(.relay) == nil, "none is in force")
        try makeReady()
        #expect(told(.relay) == store.now.hash?.description && told(.relay)?.count == 64)
        #expect(told(.kubelet) == nil && told(.others) == nil)
    }

    /// A session that was begun anew shows no handshake for a second. Only the relay's own question proves that there was one.
    @Test func theRelayIsBelievedBeforeTheHandshakeShows() throws {
        try makeReady()
        store.update { $0.lastHandshake = nil }
        let now = Moment(wall: 1000, steady: .zero)
        #expect(ask(.relay, at: now).code == 200)
        #expect(ask(.relay, at: now, envoy: true).code == 200, "an older relay's Envoy, which asks through the tunnel too")
        #expect(ask(.relay, at: now, from: .v4(0x0AC8_0009)).code == 503)
        #expect(ask(.kubelet, at: now, from: relay).code == 503)
        #expect(ask(.others, at: now, from: relay).code == 503)
    }

    @Test func aSilentTunnelIsToldToTheKubeletAndNotToTheRelay() throws {
        try makeReady()
        for second: Int64 in 0..<5 {
            #expect(ask(.relay, at: Moment(wall: 1000, steady: .milliseconds(second * 1000))).code == 200)
        }
        #expect(ask(.kubelet, at: Moment(wall: 1000, steady: .milliseconds(7000))).code == 200)
        let later = Moment(wall: 1003, steady: .milliseconds(7500))
        #expect(ask(.kubelet, at: later).code == 503)
        #expect(ask(.others, at: later).code == 503)
        #expect(store.now.report(later).ready == false)
        #expect(store.now.report(later).reason?.hasPrefix("nothing has come through the tunnel for 3 s") == true)
        // A question that arrives is the proof.
        #expect(ask(.relay, at: later).code == 200)
        #expect(ask(.kubelet, at: later).code == 200)
    }

    @Test func onlyTheRelaysOwnQuestionsAreARhythm() throws {
        try makeReady()
        for second: Int64 in 0..<5 {
            let moment = Moment(wall: 1000, steady: .milliseconds(second * 1000))
            _ = ask(.relay, at: moment, envoy: true)
            _ = ask(.relay, at: moment, from: .v4(0x0AC8_0002))
            _ = ask(.kubelet, at: moment, from: relay)
        }
        #expect(ask(.kubelet, at: Moment(wall: 1000, steady: .milliseconds(60_000))).code == 200)
    }

    @Test func theNumberChangesWithWhatIsSaidAndNotWithAges() throws {
        let start = ask(.others, at: Moment(wall: 1000, steady: .zero)).number
        var last = try #require(start)
        func changes(_ steady: Int64, wall: Int64 = 1000, _ change: (inout UplinkCondition) -> Void) -> Bool {
            store.update { change(&$0) }
            let number = ask(.others, at: Moment(wall: wall, steady: .milliseconds(steady))).number ?? 0
            defer { last = number }
            return number != last
        }
        let forward = try sampleForward("web", .tcp, 80)
        let target = ProbeTarget(forward)
        #expect(!changes(1) { _ in })
        try makeReady()
        #expect(changes(2) { _ in })
        #expect(!changes(3) { $0.receivedBytes += 1000 })
        #expect(!changes(4) { $0.sentBytes += 1000 })
        #expect(!changes(5, wall: 1100) { $0.lastHandshake = 1050 })
        #expect(!changes(6, wall: 1101) { $0.trackedConnections = 7 })
        #expect(changes(7) { $0.forwards = [forward] })
        #expect(changes(8) { $0.reachability[target] = .answers })
        #expect(changes(9) { $0.reachability[target] = .fails("connection refused") })
        #expect(changes(10) { $0.hash = SHA256.digest(of: "other") })
        #expect(changes(11) { $0.pathMTU = 1300 })
        #expect(changes(12) { $0.counters.repairs += 1 })
        #expect(changes(13) { $0.crowding = TrackingRoom.Crowding(flows: 9, limit: 9, wanted: 36) })
        // The handshake grows old, by nothing but time.
        #expect(changes(14, wall: 1231) { _ in })
        #expect(!changes(15, wall: 1232) { _ in })
        #expect(changes(16) { $0.isDraining = true })
        // And another in each life.
        #expect(UplinkStore(ordinal: 0).look(.now).number != UplinkStore(ordinal: 0).look(.now).number)
    }

    /// What is put together from parts is what would be written whole.
    @Test func theStatusOfThousandsIsTheReport() throws {
        try makeReady()
        let forwards = try (1...5000).map {
            try sampleForward("default.many-\($0 / 100).b\($0 % 100)", .tcp, $0, to: "10.96.\($0 / 250).\($0 % 250)")
        }
        store.update { condition in
            condition.forwards = forwards
            condition.lastRepair = [.rulesetRemoved(table: "\"targets\":[]")]
            for (index, forward) in forwards.enumerated() where index % 3 != 0 {
                condition.reachability[ProbeTarget(forward)] = index % 3 == 1 ? .answers : .fails("no answer within 3 s")
            }
        }
        let moment = Moment(wall: 1005, steady: .milliseconds(5000))
        for _ in 0..<2 {
            let body = pages.make(.status, moment).body
            let report = try DocumentJSON.decode(UplinkReport.self, from: Array(body.readableBytesView))
            #expect(report == store.now.report(moment))
            // The relay reads at most 4 MiB.
            #expect(body.readableBytes < 1 << 20)
        }
        store.update { $0.reachability[ProbeTarget(forwards[0])] = .answers }
        let report = try DocumentJSON.decode(UplinkReport.self, from: Array(pages.make(.status, moment).body.readableBytesView))
        #expect(report.targets[0].reachable == true)
    }

    @Test func aPageIsMadeOnceASecond() throws {
        try makeReady()
        let first = pages.make(.metrics, Moment(wall: 1000, steady: .milliseconds(5000)))
        store.update { $0.receivedBytes = 77 }
        let same = pages.make(.metrics, Moment(wall: 1000, steady: .milliseconds(5999)))
        let next = pages.make(.metrics, Moment(wall: 1001, steady: .milliseconds(6000)))
        #expect(first.body == same.body)
        #expect(String(buffer: next.body).contains("tidegate_uplink_received_bytes_total 77\n"))
    }
}
