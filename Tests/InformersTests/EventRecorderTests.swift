import Documents
import EdgeAPI
import KubernetesAPI
import Testing

@testable import EventRecording
@testable import Timing

@Suite(.timeLimit(.minutes(5))) struct EventRecorderTests {
    private struct Bench {
        let shelf = Shelf()
        let time = ManualTime()
        let logs = Notes()
        let recorder: EventRecorder

        init() { recorder = EventRecorder(shelf.server, instance: "me", time: time.source(), logger: logs.logger) }

        func record(_ note: String, of name: String = "n") {
            let metadata = ObjectMeta(name: name, namespace: "edge", uid: "u")
            recorder.record(
                EventDraft(
                    regarding: ObjectReference(.edgeNodes, metadata), level: .normal, reason: "R", action: "A", note: note))
        }

        /// Notes and counts of the Events on the shelf.
        var events: [String] {
            shelf.names("events").compactMap { name in
                guard let event = shelf.fields("events", name), let note = event["note"]?.text else { return nil }
                return note + (event["series"]?["count"]?.integer.map { " x\($0)" } ?? "")
            }
        }

        func run(_ body: () async -> Void) async {
            let recorder = recorder
            await alongside({ await recorder.run() }, body)
        }
    }

    @Test func writesInTheBackground() async {
        let bench = Bench()
        bench.record("early")
        await bench.run {
            await eventually { bench.events == ["early"] }
            bench.time.advance(by: .seconds(1))
            bench.record("early")
            await eventually { bench.events == ["early x2"] }
            bench.record("early")
            bench.record("late")
            await eventually { bench.events.sorted() == ["early x2", "late"] }
            await eventually { bench.time.naps.contains(.seconds(60)) }
            bench.time.advance(by: .seconds(60))
            await eventually { bench.events.sorted() == ["early x3", "late"] }
            bench.record("early")
        }
        // What was left is written at the end, though the task was cancelled.
        #expect(bench.events.sorted() == ["early x4", "late"])
        #expect(bench.recorder.dropped == 0)
    }

    @Test func waitsForAServerThatIsAway() async {
        let bench = Bench()
        bench.shelf.refuse { _ in .unreachable("away") }
        await bench.run {
            bench.record("x")
            await eventually { bench.time.naps.contains(.milliseconds(800)) }
            bench.shelf.refuse { _ in nil }
            bench.time.advance(by: .milliseconds(800))
            await eventually { bench.events == ["x"] }
        }
    }

    @Test(arguments: [403, 404, 422]) func dropsWhatIsRefusedAndSaysSoOnce(_ code: Int) async {
        let bench = Bench()
        bench.shelf.refuse { _ in Shelf.error(code, "No") }
        await bench.run {
            bench.record("x")
            bench.record("y")
            await eventually { bench.recorder.dropped == 2 }
        }
        #expect(bench.logs.all == ["warning: an Event is refused; further ones like it are dropped without a word"])
    }

    @Test func makesAnewWhatTheServerForgot() async {
        let bench = Bench()
        await bench.run {
            bench.record("x")
            await eventually { bench.events == ["x"] }
            for name in bench.shelf.names("events") { bench.shelf.remove("events", name) }
            bench.time.advance(by: .seconds(1))
            bench.record("x")
            await eventually { bench.events == ["x x2"] }
        }
    }

    @Test func doesNotWaitLongAtTheEnd() async {
        let bench = Bench()
        bench.shelf.hang { _ in true }
        let recorder = bench.recorder
        bench.record("x")
        let run = Task { await recorder.run() }
        await eventually { !bench.shelf.requests.isEmpty }
        run.cancel()
        await eventually { bench.time.naps.contains(.seconds(3)) }
        bench.time.advance(by: .seconds(3))
        await run.value
        #expect(bench.events == [])
    }

    @Test func knowsWhatAnErrorMeans() {
        func outcome(_ code: Int?, _ reason: String = "", creation: Bool) -> EventAggregator.Outcome {
            EventRecorder.outcome(code.map { Shelf.error($0, reason) } ?? .unreachable("u"), isCreation: creation)
        }
        #expect(outcome(409, "AlreadyExists", creation: true) == .nameTaken)
        #expect(outcome(409, "Conflict", creation: true) == .failed)
        #expect(outcome(404, "NotFound", creation: false) == .gone)
        #expect(outcome(404, "NotFound", creation: true) == .refused)
        #expect(outcome(403, "Forbidden", creation: false) == .refused)
        #expect(outcome(429, creation: true) == .failed)
        #expect(outcome(nil, creation: false) == .failed)
    }
}
