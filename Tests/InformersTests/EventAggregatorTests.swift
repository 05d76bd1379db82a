import EdgeAPI
import JSON
import KubernetesAPI
import Testing

@testable import EventRecording

@Suite struct EventAggregatorTests {
    private static let start = ContinuousClock.now

    /// An aggregator and a clock.
    private struct Desk {
        var aggregator = EventAggregator()
        var seconds = 0.0
        var now: ContinuousClock.Instant { start + .seconds(seconds) }
        var date: MicroTime { MicroTime(microseconds: 1_795_254_602_000_000 + Int64(seconds * 1_000_000)) }

        mutating func tell(_ note: String, of name: String = "n", in namespace: String = "edge", reason: String = "R") {
            aggregator.tell(draft(note, of: name, in: namespace, reason: reason), now: now, date: date)
        }

        var next: String {
            switch aggregator.next(now: now) {
            case .create(let record): "create \(record.draft.note)\(record.count > 1 ? " x\(record.count)" : "")"
            case .patch(let record): "patch \(record.draft.note) x\(record.count)"
            case .wait(let until): "wait \(until.map { "\(($0 - start) / .seconds(1))" } ?? "")"
            }
        }

        mutating func write(_ outcome: EventAggregator.Outcome = .written) -> String {
            let step = next
            switch aggregator.next(now: now) {
            case .create(let record), .patch(let record): aggregator.finish(record, outcome, now: now, date: date)
            case .wait: break
            }
            return step
        }
    }

    private static func draft(
        _ note: String, of name: String = "n", in namespace: String = "edge", reason: String = "R"
    ) -> EventDraft {
        EventDraft(
            regarding: ObjectReference(.edgeNodes, ObjectMeta(name: name, namespace: namespace, uid: "u-\(name)")),
            level: .warning, reason: reason, action: "A", note: note)
    }

    @Test func makesASeriesOfWhatIsRepeated() {
        var desk = Desk()
        desk.tell("x")
        #expect(desk.write() == "create x")
        #expect(desk.next == "wait ")
        desk.seconds = 10
        desk.tell("x")
        #expect(desk.write() == "patch x x2")
        for second in 11..<40 {
            desk.seconds = Double(second)
            desk.tell("x")
        }
        // At most one write a minute.
        #expect(desk.next == "wait 70.0")
        desk.seconds = 70
        #expect(desk.write() == "patch x x31")
        #expect(desk.next == "wait ")
        // 6 minutes after the last of them it is news again.
        desk.seconds = 39 + 359
        desk.tell("x")
        #expect(desk.write() == "patch x x32")
        desk.seconds = 39 + 359 + 360
        desk.tell("x")
        #expect(desk.write() == "create x")
        #expect(desk.aggregator.dropped == 0)
    }

    @Test func whatDiffersIsNoSeries() {
        var desk = Desk()
        desk.tell("x")
        desk.tell("y")
        desk.tell("x", of: "m")
        desk.tell("x", reason: "S")
        desk.tell("x")
        #expect(desk.write() == "create x x2")
        #expect(desk.write() == "create y")
        #expect(desk.write() == "create x")
        #expect(desk.write() == "create x")
        #expect(desk.write() == "wait ")
    }

    @Test func writesWhatCameWhileItWrote() {
        var desk = Desk()
        desk.tell("x")
        guard case .create(let record) = desk.aggregator.next(now: desk.now) else {
            Issue.record("nothing to create")
            return
        }
        desk.tell("x")
        desk.aggregator.finish(record, .written, now: desk.now, date: desk.date)
        #expect(desk.write() == "patch x x2")
        #expect(desk.next == "wait ")
    }

    @Test func limitsWhatOneObjectGets() {
        var desk = Desk()
        for number in 0..<100 { desk.tell("\(number)") }
        desk.tell("other", of: "m")
        var written = 0
        while desk.next != "wait " {
            _ = desk.write()
            written += 1
        }
        #expect(written == 26)
        #expect(desk.aggregator.dropped == 75)
        desk.seconds = 299
        desk.tell("early")
        #expect(desk.next == "wait ")
        desk.seconds = 599
        desk.tell("later")
        #expect(desk.write() == "create later")
        desk.tell("too early")
        #expect(desk.next == "wait ")
    }

    @Test func keepsABoundedNumber() {
        var desk = Desk()
        let most = EventAggregator.mostSeries
        for number in 0..<(most + 50) { desk.tell("x", of: "n", in: "ns\(number)") }
        // The last of each namespace takes what none is left for.
        #expect(desk.aggregator.dropped == 50)
        for _ in 0..<most { _ = desk.write() }
        #expect(desk.next == "wait ")
        desk.tell("x", of: "another")
        #expect(desk.next == "wait ")
        // Room is made when series end.
        desk.seconds = 400
        desk.tell("x", of: "another")
        #expect(desk.next == "create x")
    }

    /// A VPS that says another thing each time, of each of a hundred EdgeNodes.
    @Test func nobodyKeepsOthersFromBeingHeard() {
        var desk = Desk()
        for number in 0..<(EventAggregator.mostSeries * 3) { desk.tell("\(number)", of: "n\(number / 20)", in: "mallory") }
        #expect(desk.aggregator.dropped == EventAggregator.mostSeries * 5 / 2)
        for number in 0..<(EventAggregator.mostSeries * 3) { desk.tell("\(number)", of: "n\(number / 20)", in: "trudy") }
        let dropped = desk.aggregator.dropped
        for number in 0..<100 { desk.tell("honest", of: "n\(number)") }
        #expect(desk.aggregator.dropped == dropped)
    }

    @Test func triesAgainButNotForEver() {
        var desk = Desk()
        desk.tell("x")
        desk.tell("y")
        for _ in 0..<EventAggregator.mostTries { #expect(desk.write(.failed) == "create x") }
        #expect(desk.write(.refused) == "create y")
        #expect(desk.next == "wait ")
        #expect(desk.aggregator.dropped == 2)
        // Told again it is tried again.
        desk.tell("x")
        #expect(desk.write() == "create x")
    }

    @Test func makesAnEventAnewThatIsGone() {
        var desk = Desk()
        desk.tell("x")
        #expect(desk.write() == "create x")
        desk.tell("x")
        guard case .patch(let old) = desk.aggregator.next(now: desk.now) else {
            Issue.record("nothing to patch")
            return
        }
        #expect(desk.write(.gone) == "patch x x2")
        guard case .create(let new) = desk.aggregator.next(now: desk.now) else {
            Issue.record("nothing to create")
            return
        }
        #expect(new.name != old.name && new.count == 2)
        #expect(desk.write(.nameTaken) == "create x x2")
        #expect(desk.write() == "create x x2")
        #expect(desk.next == "wait ")
        desk.tell("x")
        #expect(desk.write(.refused) == "patch x x3")
        #expect(desk.next == "wait ")
    }

    @Test func hurriesAtTheEnd() {
        var desk = Desk()
        desk.tell("x")
        #expect(desk.write() == "create x")
        for _ in 0..<3 {
            desk.tell("x")
            desk.seconds += 1
        }
        #expect(desk.write() == "patch x x4")
        desk.tell("x")
        #expect(desk.next == "wait 63.0")
        desk.aggregator.hurry(now: desk.now)
        #expect(desk.write() == "patch x x5")
    }

    @Test func writesTheRecordedForm() throws {
        // As shared/kube-api/55-event-create and 56-event-series-patch have it.
        var desk = Desk()
        desk.tell("done", of: "a", reason: "Provisioned")
        guard case .create(var record) = desk.aggregator.next(now: desk.now) else {
            Issue.record("nothing to create")
            return
        }
        #expect(record.name == thingName("a.18ea068c81986400"))
        record.name = thingName("a.1")
        #expect(
            record.manifest(instance: "tidegate-0").json == """
                {"action":"A","apiVersion":"events.k8s.io/v1","eventTime":"2026-11-21T09:50:02.000000Z","kind":"Event",\
                "metadata":{"name":"a.1","namespace":"edge"},"note":"done","reason":"Provisioned",\
                "regarding":{"apiVersion":"tunnel.achetronic.com/v1alpha1","kind":"EdgeNode","name":"a","namespace":"edge",\
                "uid":"u-a"},"reportingController":"tunnel.achetronic.com/tidegate","reportingInstance":"tidegate-0",\
                "type":"Warning"}
                """)
        record.count = 2
        #expect(record.patch.json == #"{"series":{"count":2,"lastObservedTime":"2026-11-21T09:50:02.000000Z"}}"#)
    }

    @Test func keepsWithinTheLimitsOfTheServer() {
        let long = EventDraft(
            regarding: ObjectReference(apiVersion: "v1", kind: "K", name: ObjectName(namespace: "", name: "n"), uid: ""),
            level: .normal, reason: String(repeating: "r", count: 200), action: "",
            note: "x" + String(repeating: "é", count: 600))
        #expect(long.note == "x" + String(repeating: "é", count: 510) + "…")
        #expect(long.note.utf8.count == 1024)
        #expect(long.reason.utf8.count == 128 && long.action == long.reason)
        #expect(long.namespace == "default")
        #expect(shortened(String(repeating: "a", count: 1024), to: 1024, mark: "…").utf8.count == 1024)
        // One character of very many bytes.
        #expect(shortened("e" + String(repeating: "\u{301}", count: 600), to: 1024, mark: "…") == "…")

        var aggregator = EventAggregator()
        let name = String(repeating: "n", count: 253)
        aggregator.tell(Self.draft("x", of: name), now: Self.start, date: MicroTime(microseconds: 1))
        guard case .create(let record) = aggregator.next(now: Self.start) else {
            Issue.record("nothing to create")
            return
        }
        #expect(record.name.name.utf8.count == 253 && record.name.name.hasSuffix(".3e8"))
    }

    @Test func namesAreNeverTheSame() {
        var aggregator = EventAggregator()
        var names: Set<ObjectName> = []
        for number in 0..<20 {
            let date = MicroTime(microseconds: 5)
            aggregator.tell(Self.draft("\(number)"), now: Self.start, date: date)
            guard case .create(let record) = aggregator.next(now: Self.start) else { continue }
            names.insert(record.name)
            aggregator.finish(record, .written, now: Self.start, date: date)
        }
        #expect(names.count == 20)
    }
}
