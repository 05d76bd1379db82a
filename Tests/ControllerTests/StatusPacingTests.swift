import EdgeAPI
import NetworkTypes
import Testing

@testable import Controller

@Suite struct StatusPacingTests {
    @Test func aFewGoAtOnceAndAFloodEveryTwoSeconds() {
        var pacing = StatusPacing()
        let name = ObjectName(namespace: "n", name: "edge")
        let start = ContinuousClock.now
        var now = start
        var written = 0
        // A message that differs each time, from a reconcile that never rests, for four minutes.
        while now < start + .seconds(240) {
            now += pacing.take(kind: "EdgeNode", name, now: now) + .milliseconds(60)
            written += 1
        }
        #expect(written >= StatusPacing.burst && written <= 120 + StatusPacing.burst + 1, "\(written)")
        #expect(pacing.take(kind: "EdgeNode", name, now: now + .seconds(60)) == .zero)
        #expect(pacing.take(kind: "PortBinding", name, now: now) == .zero, "each object has its own")
    }

    /// However many write at once: what waits for longer would be no more true when it is written.
    @Test func nobodyWaitsForLongerThanThePause() {
        var pacing = StatusPacing()
        let name = ObjectName(namespace: "n", name: "edge")
        let now = ContinuousClock.now
        let waits = (0..<100).map { _ in pacing.take(kind: "EdgeNode", name, now: now) }
        #expect(waits.prefix(StatusPacing.burst).allSatisfy { $0 == .zero })
        #expect(waits.allSatisfy { $0 <= StatusPacing.pause })
    }

    /// What falls or rises is news, whatever is said of it.
    @Test func onlyWordsArePaced() {
        let ready = Condition(type: "Ready", status: .true, reason: "Ready", message: "1 binding", observedGeneration: 1)
        var said = ready
        said.message = "2 bindings"
        var fallen = ready
        fallen.status = .false
        #expect(EdgeNodeStatus(conditions: [ready]).withoutWords == EdgeNodeStatus(conditions: [said]).withoutWords)
        #expect(EdgeNodeStatus(conditions: [ready]).withoutWords != EdgeNodeStatus(conditions: [fallen]).withoutWords)
        #expect(
            EdgeNodeStatus(readyUplinks: "1/2").withoutWords != EdgeNodeStatus(readyUplinks: "2/2").withoutWords)
        #expect(PortBindingStatus(conditions: [ready]).withoutWords == PortBindingStatus(conditions: [said]).withoutWords)
        #expect(PortBindingStatus(conditions: [ready]).withoutWords != PortBindingStatus(conditions: [fallen]).withoutWords)
    }

    @Test func tenThousandObjectsAreForgottenAgain() {
        var pacing = StatusPacing()
        let start = ContinuousClock.now
        for index in 0..<100_000 {
            let wait = pacing.take(
                kind: "PortBinding", ObjectName(namespace: "n", name: "b\(index)"), now: start + .seconds(index))
            #expect(wait == .zero)
        }
        #expect(pacing.remembered <= 1024, "\(pacing.remembered)")
    }
}
