import Testing

@testable import Reconcilers

/// Whose word counts of an uplink: the VPS's or the pods'.
@Suite struct UplinkPodsTests {
    private let start = ContinuousClock.now
    private func at(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }
    private func pod(_ uid: String = "a", ready: Bool = true, leaving: Bool = false, _ trouble: String? = nil) -> UplinkPods.Pod {
        UplinkPods.Pod(uid: uid, isReady: ready, isLeaving: leaving, trouble: trouble)
    }

    private struct Case {
        var what: String
        /// What the watch told of uplink 0, and when; nil for no pod.
        var told: [(Double, UplinkPods.Pod?)]
        /// When the VPS was asked, which said that the uplink is ready.
        var asked: Double
        /// Nil for no objection.
        var words: String?
    }

    @Test func tellsWhoseWordCounts() {
        let cases = [
            Case(what: "a pod that is ready takes nothing away", told: [(0, pod())], asked: -100, words: nil),
            Case(what: "a pod that never was ready says nothing", told: [(0, pod(ready: false))], asked: 1, words: nil),
            Case(what: "no pod", told: [(0, nil)], asked: 100, words: "its pod is not there"),
            Case(what: "a pod that is deleted", told: [(0, pod()), (1, nil)], asked: 100, words: "its pod is not there"),
            Case(
                what: "a pod that drains", told: [(0, pod()), (1, pod(leaving: true))], asked: 100, words: "its pod is ending"),
            Case(
                what: "a fall counts against what was said before", told: [(0, pod()), (10, pod(ready: false))], asked: 9,
                words: "its pod is not ready any more"),
            Case(
                what: "and against what the VPS had no time to notice",
                told: [(0, pod()), (10, pod(ready: false, "CrashLoopBackOff (exit code 1)"))], asked: 14.9,
                words: "its pod is not ready: CrashLoopBackOff (exit code 1)"),
            Case(
                what: "a VPS that was asked later is right: the kubelet is cut off", told: [(0, pod()), (10, pod(ready: false))],
                asked: 15, words: nil),
            Case(
                what: "ready again", told: [(0, pod()), (10, pod(ready: false)), (11, pod())], asked: 9, words: nil),
            Case(
                what: "a new pod of the same uplink is no fall of its own, but the old one's counts on",
                told: [(0, pod()), (10, nil), (11, pod("b", ready: false))], asked: 12,
                words: "its pod is not ready any more"),
            Case(
                what: "a new pod that the VPS hears from", told: [(0, pod()), (10, nil), (11, pod("b", ready: false))], asked: 15,
                words: nil),
        ]
        for one in cases {
            var pods: UplinkPods?
            for (time, pod) in one.told {
                let seen = pod.map { [0: $0] } ?? [:]
                if pods == nil { pods = UplinkPods(seen) } else { pods?.take(seen, at: at(time)) }
            }
            #expect(pods?.objection(to: 0, askedAt: at(one.asked))?.words == one.words, "\(one.what)")
        }
    }

    /// What is kept is bounded by the pods that are there, whatever comes and goes.
    @Test func forgetsFallsOfPodsThatAreGone() {
        var pods = UplinkPods([:])
        for round in 0..<10_000 {
            pods.take([round % 250: pod("\(round)")], at: at(Double(round)))
        }
        #expect(pods.falls.count <= 6)
        #expect(pods.pods.count == 1)
    }
}
