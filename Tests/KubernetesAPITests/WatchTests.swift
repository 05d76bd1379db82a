import Documents
import EdgeAPI
import Glibc
import KubernetesAPI
import Testing

/// A watch's bytes and events.
struct WatchTests {
    /// All that the framer makes of `body` cut at `cut`.
    private func lines(_ body: [UInt8], cutAt cut: Int) throws -> [[UInt8]] {
        var framer = WatchFramer()
        let lines = try framer.feed(Array(body[..<cut])) + framer.feed(Array(body[cut...]))
        try framer.finish()
        return lines
    }

    @Test(arguments: [
        "38-watch-added-modified-deleted", "39-watch-timeout-ends-cleanly", "40-watch-send-initial-events-bookmark",
    ])
    func readsARecordingCutAnywhere(name: String) throws {
        let body = try Recording(name).body
        let whole = body.split(separator: 0x0A).map { Array($0) }
        for cut in 0...body.count { #expect(try lines(body, cutAt: cut) == whole) }
        var framer = WatchFramer()
        #expect(try body.flatMap { try framer.feed([$0]) } == whole)
        for line in whole { #expect(try WatchEvent(line: line).resourceVersion != nil) }
    }

    @Test func knowsTheRecordedEvents() throws {
        let events = try Recording("38-watch-added-modified-deleted").events
        guard events.count == 3, case .added(let first) = events[0], case .modified = events[1], case .deleted = events[2] else {
            Issue.record("\(events)")
            return
        }
        #expect(first["metadata"]?["name"]?.text == "w")
        #expect(events.map(\.resourceVersion) == ["1575", "1576", "1577"])
    }

    @Test func knowsTheEndOfTheInitialEvents() throws {
        let events = try Recording("40-watch-send-initial-events-bookmark").events
        #expect(events.count == 7)
        #expect(events.last == .bookmark(resourceVersion: "1579", endsInitialEvents: true))
    }

    @Test func knowsThatItIsTooLate() throws {
        let events = try Recording("71-watch-too-old-410-event").events
        #expect(events == [.error(APIStatus(code: 410, reason: "Expired", message: "too old resource version: 1 (1606)"))])
        #expect(APIError.status(APIStatus(code: 410, message: "")).isExpired)
    }

    /// The fuzzer's: what a Status says steers no terminal, its reason neither.
    @Test func aStatusIsToldInPrintableWords() {
        #expect(APIStatus(code: 851, reason: "E\u{7F}pired", message: "too\u{1B}old").description == "too old (851 E pired)")
    }

    @Test func anEmptyWatchIsNoError() throws { #expect(try Recording("41-watch-future-rv").events.isEmpty) }

    @Test func aTailIsAnError() throws {
        var framer = WatchFramer()
        #expect(try framer.feed(Array("{\"a\":1}\r\n\n{\"b\"".utf8)) == [Array("{\"a\":1}".utf8)])
        #expect(throws: APIError.unreachable("the watch was cut in the middle of an event")) { try framer.finish() }
    }

    @Test func anEventHasALimit() throws {
        var framer = WatchFramer(limit: 10)
        #expect(try framer.feed(Array("0123456789\n01234".utf8)).count == 1)
        #expect(throws: APIError.self) { try framer.feed(Array("567890\n".utf8)) }
    }

    @Test(arguments: [
        "", "{", "[]", "{}", #"{"type":"ADDED"}"#, #"{"type":"ADDED","object":[]}"#, #"{"type":"GONE","object":{}}"#,
        #"{"type":"BOOKMARK","object":{}}"#, #"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":""}}}"#,
    ])
    func refusesWhatIsNoEvent(line: String) {
        #expect(throws: APIError.self) { try WatchEvent(line: Array(line.utf8)) }
    }

    /// Bookmarks that come now and then end nothing.
    @Test func knowsAPlainBookmark() throws {
        let line = #"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}"#
        #expect(try WatchEvent(line: Array(line.utf8)) == .bookmark(resourceVersion: "9", endsInitialEvents: false))
    }

    @Test func tellsEventsFromAStream() async throws {
        let body = try Recording("38-watch-added-modified-deleted").body
        let pieces = Pieces(stride(from: 0, to: body.count, by: 700).map { Array(body[$0..<min($0 + 700, body.count)]) })
        var events = WatchEvents(APIStream { await pieces.next() })
        var versions: [String?] = []
        while let event = try await events.next() { versions.append(event.resourceVersion) }
        #expect(versions == ["1575", "1576", "1577"])
    }

    private actor Pieces {
        private var rest: ArraySlice<[UInt8]>
        init(_ pieces: [[UInt8]]) { rest = pieces[...] }
        func next() -> [UInt8]? { rest.popFirst() }
    }
}
