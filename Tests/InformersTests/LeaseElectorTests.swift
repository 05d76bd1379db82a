import KubernetesAPI
import Testing

@testable import LeaseElection

@Suite struct LeaseElectorTests {
    private let start = ContinuousClock.now
    private let date = MicroTime(microseconds: 1_795_254_602_123_456)

    private func lease(_ holder: String, _ version: Int, renewed: Int64 = 0, transitions: Int64 = 3, duration: Int64? = 15)
        -> Lease
    {
        Lease(
            resourceVersion: "\(version)",
            record: Lease.Record(
                holder: holder, duration: duration, acquired: MicroTime(microseconds: 1),
                renewed: MicroTime(microseconds: renewed),
                transitions: transitions))
    }

    private func record(_ step: LeaseElector.Step) -> Lease.Record? {
        switch step {
        case .create(let record), .write(let record, _): record
        case .read, .rest: nil
        }
    }

    /// An elector "me" that leads since `start`, at version 5 of the Lease, with 4 transitions.
    private func leading() -> LeaseElector {
        var elector = LeaseElector(identity: "me")
        #expect(elector.begin(renews: false, now: start, date: date) == .read)
        _ = elector.read(lease("", 4), now: start, date: date)
        _ = elector.wrote(lease("me", 5, transitions: 4), now: start)
        #expect(elector.epoch(at: start) == 5)
        return elector
    }

    @Test func createsTheLease() {
        var elector = LeaseElector(identity: "me")
        #expect(elector.begin(renews: false, now: start, date: date) == .read)
        let step = elector.read(nil, now: start, date: date)
        #expect(step == .create(Lease.Record(holder: "me", duration: 15, acquired: date, renewed: date, transitions: 0)))
        #expect(!elector.leads(at: start))
        // The answer comes 3 s later; the term counts from before the request.
        #expect(elector.wrote(lease("me", 1, transitions: 0), now: start + .seconds(3)) == .rest)
        #expect(elector.epoch(at: start + .seconds(3)) == 1)
        #expect(elector.epoch(at: start + .milliseconds(9999)) == 1)
        #expect(elector.epoch(at: start + .seconds(10)) == nil)
    }

    @Test func leavesALeaseAloneThatChanges() {
        var elector = LeaseElector(identity: "me")
        var now = start
        for second in 0..<60 {
            #expect(elector.begin(renews: false, now: now, date: date) == .read)
            // Its dates are nonsense; only that they change counts.
            #expect(elector.read(lease("other", 9, renewed: Int64(-second)), now: now, date: date) == .rest)
            now += .seconds(14)
        }
        #expect(elector.holder == "other")
    }

    @Test func takesALeaseThatRanOut() {
        var elector = LeaseElector(identity: "me")
        #expect(elector.read(lease("other", 9), now: start, date: date) == .rest)
        // Another's label on it changes the version only.
        #expect(elector.read(lease("other", 10), now: start + .milliseconds(14_999), date: date) == .rest)
        let step = elector.read(lease("other", 10), now: start + .seconds(15), date: date)
        #expect(
            step
                == .write(
                    Lease.Record(holder: "me", duration: 15, acquired: date, renewed: date, transitions: 4), onlyAt: "10"))
        // Somebody was faster.
        #expect(elector.failed(.status(APIStatus(code: 409, message: "m")), now: start) == .rest)
        #expect(!elector.leads(at: start))
    }

    @Test func waitsAsLongAsTheLeaseSays() {
        var elector = LeaseElector(identity: "me")
        #expect(elector.read(lease("other", 9, duration: 60), now: start, date: date) == .rest)
        #expect(elector.read(lease("other", 9, duration: 60), now: start + .seconds(59), date: date) == .rest)
        #expect(record(elector.read(lease("other", 9, duration: 60), now: start + .seconds(60), date: date)) != nil)
    }

    @Test(arguments: ["", "me"]) func takesALeaseThatIsFreeAtOnce(_ holder: String) {
        var elector = LeaseElector(identity: "me")
        let step = elector.read(lease(holder, 9, transitions: 7), now: start, date: date)
        // Our own name in it is of another term.
        #expect(record(step)?.transitions == 8)
        #expect(record(step)?.acquired == date)
    }

    @Test func renewsWithoutReading() {
        var elector = leading()
        let later = start + .seconds(2)
        let step = elector.begin(renews: true, now: later, date: date)
        #expect(
            step
                == .write(
                    Lease.Record(
                        holder: "me", duration: 15, acquired: MicroTime(microseconds: 1), renewed: date, transitions: 4),
                    onlyAt: "5"))
        #expect(elector.wrote(lease("me", 6, transitions: 4), now: later + .seconds(1)) == .rest)
        #expect(elector.ends == later + .seconds(10))
        #expect(elector.epoch(at: later + .milliseconds(9999)) == 5)
    }

    @Test func looksAgainAfterAConflictOnce() {
        var elector = leading()
        _ = elector.begin(renews: true, now: start + .seconds(2), date: date)
        let conflict = APIError.status(APIStatus(code: 409, message: "m"))
        #expect(elector.failed(conflict, now: start + .seconds(2)) == .read)
        // Somebody put a label on it.
        #expect(record(elector.read(lease("me", 8, transitions: 4), now: start + .seconds(2), date: date))?.transitions == 4)
        #expect(elector.failed(conflict, now: start + .seconds(2)) == .rest)
        #expect(elector.leads(at: start + .seconds(9)))
        #expect(!elector.leads(at: start + .seconds(10)))
    }

    @Test func leadsNoMoreWhenAnotherHoldsTheLease() {
        var elector = leading()
        _ = elector.begin(renews: true, now: start + .seconds(2), date: date)
        _ = elector.failed(.status(APIStatus(code: 409, message: "m")), now: start + .seconds(2))
        #expect(elector.read(lease("other", 8, transitions: 5), now: start + .seconds(2), date: date) == .rest)
        #expect(!elector.leads(at: start + .seconds(2)))
        #expect(elector.begin(renews: true, now: start + .seconds(3), date: date) == .rest)
    }

    @Test func aTermThatIsOverIsNotRenewed() {
        // Stopped for a minute, then woken up before anything else happened.
        let late = start + .seconds(60)
        var elector = leading()
        #expect(elector.epoch(at: late) == nil)
        #expect(elector.begin(renews: true, now: late, date: date) == .rest)
        // Stopped between the request and its answer.
        elector = leading()
        _ = elector.begin(renews: true, now: start + .seconds(2), date: date)
        #expect(elector.wrote(lease("me", 6, transitions: 4), now: late) == .rest)
        #expect(elector.epoch(at: late) == nil)
        // Stopped between a conflict and looking again.
        elector = leading()
        _ = elector.begin(renews: true, now: start + .seconds(2), date: date)
        #expect(elector.failed(.status(APIStatus(code: 409, message: "m")), now: late) == .rest)
        #expect(elector.read(lease("me", 6, transitions: 4), now: late, date: date) == .rest)
        #expect(elector.epoch(at: late) == nil)
        // Stopped while acquiring.
        elector = LeaseElector(identity: "me")
        _ = elector.begin(renews: false, now: start, date: date)
        _ = elector.read(lease("", 1), now: start, date: date)
        #expect(elector.wrote(lease("me", 2, transitions: 4), now: late) == .rest)
        #expect(elector.epoch(at: late) == nil)
    }

    @Test func anEpochDoesNotFallWithTheLease() {
        var elector = leading()
        _ = elector.begin(renews: true, now: start + .seconds(2), date: date)
        #expect(elector.failed(.status(APIStatus(code: 404, message: "m")), now: start + .seconds(2)) == .read)
        let step = elector.read(nil, now: start + .seconds(2), date: date)
        #expect(record(step)?.transitions == 4)
        #expect(elector.wrote(lease("me", 1, transitions: 4), now: start + .seconds(2)) == .rest)
        #expect(elector.epoch(at: start + .seconds(2)) == 5)
        // Nor when somebody edits it.
        _ = elector.failed(.status(APIStatus(code: 409, message: "m")), now: start + .seconds(2))
        #expect(record(elector.read(lease("me", 3, transitions: 0), now: start + .seconds(2), date: date))?.transitions == 4)
    }

    @Test func provesItsTerm() {
        func proves(_ elector: inout LeaseElector, _ lease: Lease?, _ now: LeaseElector.Instant) -> Bool {
            elector.proves(lease, now: now)
        }
        var elector = leading()
        #expect(proves(&elector, lease("me", 9, transitions: 4), start))
        #expect(elector.epoch(at: start) == 5)
        #expect(!proves(&elector, nil, start))
        #expect(elector.epoch(at: start) == nil)
        elector = leading()
        #expect(!proves(&elector, lease("other", 7), start))
        #expect(!proves(&elector, lease("me", 7), start), "a term that is over stays so")
        elector = leading()
        #expect(!proves(&elector, lease("me", 5, transitions: 4), start + .seconds(10)))
    }

    @Test func keepsACountThatSomebodyRaised() {
        var elector = leading()
        _ = elector.begin(renews: true, now: start + .seconds(2), date: date)
        _ = elector.failed(.status(APIStatus(code: 409, message: "m")), now: start + .seconds(2))
        let step = elector.read(lease("me", 8, transitions: 41), now: start + .seconds(2), date: date)
        #expect(record(step)?.transitions == 41)
        _ = elector.wrote(lease("me", 9, transitions: 41), now: start + .seconds(2))
        #expect(elector.epoch(at: start + .seconds(2)) == 42)
    }

    @Test func givesTheLeaseBack() {
        let elector = leading()
        let given = elector.release(lease("me", 5, transitions: 4), now: start, date: date)
        #expect(given == Lease.Record(holder: "", duration: 1, acquired: date, renewed: date, transitions: 4))
        #expect(elector.release(lease("other", 6, transitions: 5), now: start, date: date) == nil)
        #expect(elector.release(lease("me", 5, transitions: 4), now: start + .seconds(10), date: date) == nil)
    }

    @Test func seizesAtOnceAndForGood() {
        var elector = LeaseElector(identity: "me", seizes: true)
        _ = elector.begin(renews: false, now: start, date: date)
        #expect(record(elector.read(lease("other", 5), now: start, date: date))?.transitions == 4)
        _ = elector.wrote(lease("me", 6, transitions: 4), now: start)
        #expect(elector.epoch(at: start + .seconds(1_000_000)) == 5)
        #expect(elector.ends == nil)
    }

    @Test func beginsAnewBeyondWhatALeaseHolds() {
        var elector = LeaseElector(identity: "me")
        let most = elector.read(lease("", 5, transitions: Lease.mostTransitions), now: start, date: date)
        #expect(record(most)?.transitions == 0)
        let last = elector.read(lease("", 6, transitions: Lease.mostTransitions - 1), now: start, date: date)
        #expect(record(last)?.transitions == Lease.mostTransitions)
    }

    @Test func spreadsTheTriesOfThoseWhoWait() {
        let waiting = LeaseElector(identity: "me")
        #expect(waiting.pause(now: start, random: 0) == .seconds(2))
        #expect(waiting.pause(now: start, random: 1) == .seconds(2) * 2.2)
        #expect(leading().pause(now: start, random: 1) == .seconds(2))
    }
}
