import CLinuxHeaders
import Glibc
import NetworkTypes
import NodeDocument
import Sodium
import Testing

@testable import NodeAgent

private func request(_ names: [String], nonce: String = "", refusal: String? = nil) -> [UInt8] {
    var writer = ProtobufWriter()
    // A description of the node, which is skipped.
    writer.field(2, [UInt8](repeating: 0xFF, count: 300))
    for name in names { writer.field(3, name.utf8) }
    writer.field(4, LoadAssignment.typeURL.utf8)
    writer.field(5, nonce.utf8)
    if let refusal { writer.field(6) { $0.field(2, refusal.utf8) } }
    return writer.bytes
}

private func frame(_ kind: UInt8, _ flags: UInt8, _ stream: UInt8, _ payload: [UInt8]) -> [UInt8] {
    [UInt8(payload.count >> 16), UInt8(payload.count >> 8 & 0xFF), UInt8(payload.count & 0xFF), kind, flags, 0, 0, 0, stream]
        + payload
}

private let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

@Suite struct DiscoveryMessageTests {
    @Test func requestIsRead() throws {
        let read = try DiscoveryRequest(request(["web", "dns"], nonce: "7", refusal: "no \u{1B}such")[...])
        #expect(read.names == ["web", "dns"] && read.nonce == "7" && read.typeURL == LoadAssignment.typeURL)
        #expect(read.refusal?.contains("\u{1B}") == false)
    }

    @Test(arguments: [
        [0x1A, 0x05, 0x61] as [UInt8], [0x80], [0x1A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], [0x03],
        [0x02, 0x00], [0x09, 0x00], [UInt8](repeating: 0x80, count: 20), [0x32, 0x02, 0x12, 0x09],
    ])
    func brokenRequestsAreErrors(_ bytes: [UInt8]) { #expect(throws: MalformedMessage.self) { try DiscoveryRequest(bytes[...]) } }

    /// As `protoc` writes it.
    @Test func assignmentIsWritten() throws {
        let address = try IPv4Address(parsing: "10.0.0.1")
        let assignment = LoadAssignment(
            cluster: "a", endpoints: [LoadAssignment.Endpoint(address: address, port: try Port(300), isHealthy: false)])
        let socket: [UInt8] = [0x12, 8] + Array("10.0.0.1".utf8) + [0x18, 0xAC, 0x02]
        let endpoint: [UInt8] = [0x0A, 17, 0x0A, 15, 0x0A, 13] + socket + [0x10, 2]
        #expect(assignment.bytes == [0x0A, 1, 0x61, 0x12, 23, 0x12, 21] + endpoint)
    }

    /// As `protoc` writes it: the second way has the field `priority` (5), and the policy (4) an `overprovisioning_factor` (3) by which
    /// one endpoint that is well takes all.
    @Test(arguments: [(0, 1), (1, 7)]) func prioritiesAreWritten(first: Int, second: Int) throws {
        func endpoint(_ address: String, _ priority: Int) throws -> LoadAssignment.Endpoint {
            LoadAssignment.Endpoint(
                address: try IPv4Address(parsing: address), port: try Port(300), isHealthy: true, priority: priority)
        }
        let assignment = LoadAssignment(
            cluster: "a", endpoints: [try endpoint("10.0.0.2", second), try endpoint("10.0.0.1", first)])
        func written(_ address: String) -> [UInt8] {
            let socket: [UInt8] = [0x12, 8] + Array(address.utf8) + [0x18, 0xAC, 0x02]
            return [0x12, 21, 0x0A, 17, 0x0A, 15, 0x0A, 13] + socket + [0x10, 1]
        }
        let localities: [UInt8] = [0x12, 23] + written("10.0.0.1") + [0x12, 25] + written("10.0.0.2") + [0x28, 1]
        #expect(assignment.bytes == [0x0A, 1, 0x61] + localities + [0x22, 5, 0x1A, 3, 0x08, 0xC8, 0x01])
    }

    @Test func noUplinkIsAnAssignmentToo() {
        #expect(LoadAssignment(cluster: "a", endpoints: []).bytes == [0x0A, 1, 0x61, 0x12, 0])
    }
}

@Suite struct EndpointStreamTests {
    private let table: [String: [UInt8]] = ["web": [1], "dns": [2]]

    private func take(_ stream: inout EndpointStream, _ names: Set<String>, nonce: String = "") -> String? {
        stream.take(DiscoveryRequest(typeURL: LoadAssignment.typeURL, names: names, nonce: nonce))
    }

    @Test func onlyWhatChangedIsToldAndOneAtATime() {
        var stream = EndpointStream()
        #expect(take(&stream, ["web", "dns"]) == nil)
        #expect(stream.response { table[$0] } != nil)
        #expect(stream.response { _ in [9] } == nil, "the answer is still to come")
        _ = take(&stream, ["web", "dns"], nonce: "1")
        #expect(stream.response { table[$0] } == nil)
        #expect(
            stream.response { $0 == "web" ? [9] : table[$0] }
                == discoveryResponse(typeURL: LoadAssignment.typeURL, nonce: "2", resources: [[9]]))
    }

    /// A cluster that changed asks for its endpoints by the same name again, and warms up until it is told.
    @Test func whoAsksAgainIsToldAgain() {
        var stream = EndpointStream()
        _ = take(&stream, ["web"])
        _ = stream.response { table[$0] }
        _ = take(&stream, ["web"], nonce: "1")
        _ = take(&stream, ["web"], nonce: "1")
        #expect(stream.isWaiting)
        #expect(stream.response { table[$0] } != nil)
        #expect(!stream.isWaiting)
    }

    /// Envoy keeps what it was told: 5,000 names each time cost it 0.3 s.
    @Test func newNamesAloneAreToldToWhoAddsSome() {
        var stream = EndpointStream()
        _ = take(&stream, ["web"])
        _ = stream.response { table[$0] }
        _ = take(&stream, ["web"], nonce: "1")
        _ = take(&stream, ["web", "dns"], nonce: "1")
        #expect(
            stream.response { table[$0] }
                == discoveryResponse(typeURL: LoadAssignment.typeURL, nonce: "2", resources: [[2]]))
        #expect(!stream.hasToldAll(of: ["web", "dns"]), "not before the answer")
        _ = take(&stream, ["web", "dns"], nonce: "2")
        #expect(stream.hasToldAll(of: ["web", "dns"]) && !stream.hasToldAll(of: ["web", "api"]))
    }

    /// A cluster that another replaced warms up like a new one, and a request that adds names does not show it.
    @Test func replacedClustersAreToldAgain() {
        var stream = EndpointStream()
        _ = take(&stream, ["web", "api"])
        _ = stream.response { table[$0] ?? [3] }
        _ = take(&stream, ["web", "api"], nonce: "1")
        stream.replaced(["web", "gone"])
        #expect(!stream.hasToldAll(of: ["web"]) && stream.hasToldAll(of: ["api"]))
        #expect(
            stream.response { table[$0] ?? [3] }
                == discoveryResponse(typeURL: LoadAssignment.typeURL, nonce: "2", resources: [[1]]))
    }

    /// It asks while a response is on its way: the answer to that one comes with the same names.
    @Test func askingAgainIsNotTakenForTheAnswer() {
        var stream = EndpointStream()
        _ = take(&stream, ["web"])
        _ = stream.response { table[$0] }
        _ = take(&stream, ["web"], nonce: "1")
        _ = stream.response { _ in [9] }
        _ = take(&stream, ["web"], nonce: "1")
        #expect(stream.response { _ in [9] } == nil)
        _ = take(&stream, ["web"], nonce: "2")
        #expect(stream.response { _ in [9] } != nil)
    }

    @Test func aRefusalIsToldAndNotRepeated() {
        var stream = EndpointStream()
        _ = take(&stream, ["web"])
        _ = stream.response { table[$0] }
        let answer = DiscoveryRequest(typeURL: LoadAssignment.typeURL, names: ["web"], nonce: "1", refusal: "bad")
        #expect(stream.take(answer) == "bad")
        #expect(stream.response { table[$0] } == nil)
    }

    @Test func aBindingThatComesBackIsToldAnew() {
        var stream = EndpointStream()
        _ = take(&stream, ["web"])
        _ = stream.response { table[$0] }
        _ = take(&stream, [], nonce: "1")
        #expect(stream.response { table[$0] } == nil)
        _ = take(&stream, ["web"], nonce: "1")
        #expect(stream.response { table[$0] } != nil)
    }
}

@Suite struct HTTP2ConnectionTests {
    private func opened() throws -> HTTP2Connection {
        var http = HTTP2Connection()
        let bytes = preface + frame(4, 0, 0, []) + frame(1, 4, 1, [0x82])
        // However the bytes arrive.
        var events: [HTTP2Connection.Event] = []
        for byte in bytes { events += try http.take([byte]) }
        #expect(events == [.opened])
        _ = http.takeOutput()
        return http
    }

    @Test func messagesArriveWholeWhateverTheFrames() throws {
        var http = try opened()
        let message = [UInt8](repeating: 5, count: 300)
        let body = [0, 0, 0, 1, 44] + message
        #expect(try http.take(frame(0, 0, 1, Array(body.prefix(3)))) == [])
        #expect(try http.take(frame(0, 8, 1, [2] + body.dropFirst(3) + [0, 0])) == [.message(message)])
        #expect(try http.take(frame(3, 0, 1, [0, 0, 0, 8])) == [.closed])
    }

    @Test func pingsAndSettingsAreAnswered() throws {
        var http = try opened()
        _ = try http.take(
            frame(6, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8]) + frame(4, 0, 0, []) + frame(6, 1, 0, [0, 0, 0, 0, 0, 0, 0, 0]))
        #expect(http.takeOutput() == frame(6, 1, 0, [1, 2, 3, 4, 5, 6, 7, 8]) + frame(4, 1, 0, []))
    }

    @Test func thePeersWindowIsKept() throws {
        var http = try opened()
        http.send([UInt8](repeating: 1, count: 100_000))
        func sent() -> Int { http.takeOutput().count }
        #expect(sent() == 65535 + 4 * 9)
        #expect(!http.isDrained)
        _ = try http.take(frame(8, 0, 0, [0, 1, 0, 0]))
        #expect(sent() == 0, "the stream's window is closed still")
        _ = try http.take(frame(8, 0, 1, [0, 1, 0, 0]))
        #expect(sent() == 100_005 - 65535 + 3 * 9)
        #expect(http.isDrained)
    }

    private static let ping: [UInt8] = frame(6, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8])
    private static let wide: [UInt8] = frame(8, 0, 0, [0x7F, 0xFF, 0xFF, 0xFF])
    private static let opening: [UInt8] = preface + frame(1, 4, 1, [])
    private static func hostile() -> [(String, [UInt8])] {
        var rows: [(String, [UInt8])] = [("no preface", Array("GET / HTTP/1.1\r\n".utf8))]
        rows.append(("a long frame", preface + [0, 0x40, 1, 0, 0, 0, 0, 0, 1] as [UInt8]))
        rows.append(("data of no stream", preface + frame(0, 0, 0, [1])))
        rows.append(("an even stream", preface + frame(1, 4, 2, [])))
        rows.append(("a bad ping", preface + frame(6, 0, 0, [1])))
        rows.append(("a frame in a header block", preface + frame(1, 0, 1, []) + ping))
        rows.append(("a continuation of nothing", preface + frame(9, 4, 1, [])))
        rows.append(("a window of nothing", preface + frame(8, 0, 0, [0, 0, 0, 0])))
        rows.append(("a huge window", preface + wide + wide))
        rows.append(("a compressed message", opening + frame(0, 0, 1, [1, 0, 0, 0, 0])))
        rows.append(("a huge message", opening + frame(0, 0, 1, [0, 0x7F, 0, 0, 0])))
        rows.append(("more padding than frame", opening + frame(0, 8, 1, [9, 0])))
        return rows
    }

    @Test(arguments: hostile())
    func hostileBytesEndTheConnection(what: String, bytes: [UInt8]) {
        #expect(throws: MalformedMessage.self, "\(what)") {
            var http = HTTP2Connection()
            _ = try http.take(bytes)
        }
    }

    /// A peer that asks and never reads costs no more than a bound.
    @Test func aPeerThatDoesNotReadIsCut() {
        #expect(throws: MalformedMessage.self) {
            var http = HTTP2Connection()
            _ = try http.take(preface)
            let pings = [UInt8]((0..<1000).flatMap { _ in frame(6, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8]) })
            for _ in 0..<1000 { _ = try http.take(pings) }
        }
    }
}

@Suite struct UplinkWordTests {
    private func entry(
        _ ordinal: Int, _ health: UplinkWord.Entry.Health, _ bindings: [String]?
    ) -> UplinkWord.Entry {
        UplinkWord.Entry(
            ordinal: ordinal, address: IPv4Address(number: 0x0AC8_0002 + UInt32(ordinal)), health: health,
            report: bindings.map { names in
                UplinkReport(
                    ordinal: ordinal, hash: nil, ready: true, reason: nil, handshakeAge: 1, receivedBytes: 0, sentBytes: 0,
                    wireGuardKind: nil, targets: names.map { TargetReport(binding: $0, reachable: true) })
            }, forwardsAll: bindings == nil)
    }

    /// The port of `web` is open, those of `new` and `dns` are not.
    @Test(
        arguments: [
            ("forwarded", [(UplinkWord.Entry.Health.healthy, ["web", "new", "dns"])], [] as Set<String>),
            ("not yet", [(.healthy, ["web"])], ["tcp-2", "tcp-3"]),
            ("by another", [(.healthy, ["web"]), (.healthy, ["new"])], ["tcp-3"]),
            ("by one that is out", [(.healthy, ["web"]), (.notReady, ["new", "dns"])], ["tcp-2", "tcp-3"]),
            ("by one that does not tell", [(.healthy, nil), (.healthy, ["web"])], []),
            ("no uplink is well", [(.silent, nil), (.unknown, nil)], []),
            ("no uplink", [], []),
        ] as [(String, [(UplinkWord.Entry.Health, [String]?)], Set<String>)])
    func newListenersWait(
        what: String, uplinks: [(UplinkWord.Entry.Health, [String]?)], expected: Set<String>
    ) throws {
        let listeners = [
            EnvoyListener(.tcp, try Port(1), bindings: ["web"]), EnvoyListener(.tcp, try Port(2), bindings: ["new"]),
            EnvoyListener(.tcp, try Port(3), bindings: ["dns"]), EnvoyListener(bridgeAt: try IPv4Address(parsing: "10.200.0.1")),
        ]
        let word = UplinkWord(uplinks: uplinks.enumerated().map { entry($0, $1.0, $1.1) })
        #expect(ForwardingWait.unforwarded(listeners, served: ["tcp-1", "bridge"], word) == expected, "\(what)")
        #expect(ForwardingWait.unforwarded(listeners, served: [], nil) == [], "without a prober")
        let document = SHA256.digest(of: "all")
        var current = word
        for index in current.uplinks.indices { current.uplinks[index].document = document }
        let isAny = uplinks.contains { $0.0 == .healthy }
        let waiting = ForwardingWait.unforwarded(listeners, served: ["tcp-1", "bridge"], current, document: document)
        #expect(waiting == (isAny ? [] : expected), "one that is well and has it in force forwards all")
    }

    @Test func saysWhoStarves() {
        let word = UplinkWord(uplinks: [entry(0, .healthy, ["web"]), entry(1, .notReady, ["dns"])])
        #expect(word.starved(["web", "dns", "api"]) == ["api", "dns"])
        #expect(UplinkWord(uplinks: [entry(0, .healthy, nil)]).starved(["web"]) == [])
        #expect(UplinkWord(uplinks: []).starved(["web"]) == ["web"])
    }

    @Test func onlyAFreshPlainFileCounts() throws {
        let host = try FakeHost()
        try makeFolder(host.paths.runtime, .publicFolder)
        #expect(UplinkWord.read(host.paths) == nil)
        let word = UplinkWord(uplinks: [entry(0, .healthy, ["web"])])
        try replaceFile(host.paths.uplinkWord, try jsonLine(word), .secretFile)
        #expect(UplinkWord.read(host.paths) == word)
        try age(host.paths.uplinkWord)
        #expect(UplinkWord.read(host.paths) == nil)
        try removeFile(host.paths.uplinkWord)
        _ = try ensureLink(host.paths.uplinkWord, to: "/etc/passwd")
        #expect(UplinkWord.read(host.paths) == nil)
        try removeFile(host.paths.uplinkWord)
        #expect(mkfifo(host.paths.uplinkWord, 0o600) == 0)
        #expect(UplinkWord.read(host.paths) == nil)
    }

    private func age(_ path: String) throws {
        let times = [timespec(tv_sec: 1_000_000_000, tv_nsec: 0), timespec(tv_sec: 1_000_000_000, tv_nsec: 0)]
        #expect(utimensat(AT_FDCWD, path, times, 0) == 0)
    }
}
