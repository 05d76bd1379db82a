import KubernetesAPI
import Testing

@testable import LeaseElection

/// Candidates that are stopped at any moment, with requests and answers that are late or lost: never do two lead at once, and
/// every term has an epoch above all before it.
@Suite struct ElectionTests {
    private typealias Instant = ContinuousClock.Instant

    private enum Happening {
        case begin
        /// A request reaches the server.
        case arrive(LeaseElector.Step)
        /// Its answer reaches the candidate.
        case answer(LeaseElector.Step, Result<Lease?, APIError>)
    }

    private struct Candidate {
        var elector: LeaseElector
        var leads = false
    }

    private struct World {
        var random: Random
        var now = ContinuousClock.now
        var lease: Lease?
        var version = 1
        var candidates: [Candidate]
        var plan: [(at: Instant, who: Int, what: Happening)] = []
        var epochs: [UInt64] = []
        var releases = 0
        /// A candidate's date is nonsense.
        func date(_ who: Int) -> MicroTime {
            MicroTime(microseconds: (now - .now).components.seconds * Int64(who * 7 - 9) * 1_000_000)
        }

        init(seed: Int, _ count: Int) {
            random = Random(seed: seed)
            candidates = (0..<count).map { Candidate(elector: LeaseElector(identity: "c\($0)")) }
            for who in 0..<count { add(who, .begin, after: 0...3000) }
        }

        mutating func add(_ who: Int, _ what: Happening, after milliseconds: ClosedRange<Int>) {
            plan.append((now + .milliseconds(Int.random(in: milliseconds, using: &random)), who, what))
        }

        /// Now and then a request takes very long, and a process is stopped for very long.
        mutating func delay() -> ClosedRange<Int> {
            random.happens(oneIn: 15) ? 0...30_000 : 0...200
        }

        mutating func step() {
            guard let next = plan.indices.min(by: { plan[$0].at < plan[$1].at }) else { return }
            let (at, who, what) = plan.remove(at: next)
            now = at
            switch what {
            case .begin: begin(who)
            case .arrive(let step):
                let result = random.happens(oneIn: 20) ? .failure(.unreachable("lost on its way")) : serve(step)
                let answer = random.happens(oneIn: 20) ? .failure(.unreachable("the answer is lost")) : result
                add(who, .answer(step, answer), after: delay())
            case .answer(let step, let result): take(who, step, result)
            }
            check()
        }

        mutating func serve(_ step: LeaseElector.Step) -> Result<Lease?, APIError> {
            switch step {
            case .read: return .success(lease)
            case .create(let record):
                guard lease == nil else { return .failure(.status(APIStatus(code: 409, message: "exists"))) }
                return .success(write(record))
            case .write(let record, let version):
                guard let lease else { return .failure(.status(APIStatus(code: 404, message: "none"))) }
                guard lease.resourceVersion == version else { return .failure(.status(APIStatus(code: 409, message: "changed"))) }
                return .success(write(record))
            case .rest: return .success(nil)
            }
        }

        mutating func write(_ record: Lease.Record) -> Lease {
            version += 1
            let written = Lease(resourceVersion: "\(version)", record: record)
            lease = written
            return written
        }

        mutating func begin(_ who: Int) {
            // One whose term ended begins anew, as a new process does.
            if candidates[who].leads, !candidates[who].elector.leads(at: now) {
                candidates[who].leads = false
                candidates[who].elector = LeaseElector(identity: "c\(who)")
            }
            let leads = candidates[who].leads
            if leads, random.happens(oneIn: 12), let seen = candidates[who].elector.lastSeen,
                let record = candidates[who].elector.release(seen, now: now, date: date(who))
            {
                // The work is done: from here on it leads no more, whatever comes of the request.
                candidates[who].elector = LeaseElector(identity: "c\(who)")
                candidates[who].leads = false
                if case .success = serve(.write(record, onlyAt: seen.resourceVersion)) { releases += 1 }
                return add(who, .begin, after: 0...20_000)
            }
            proceed(who, candidates[who].elector.begin(renews: leads, now: now, date: date(who)))
        }

        mutating func take(_ who: Int, _ step: LeaseElector.Step, _ result: Result<Lease?, APIError>) {
            switch (step, result) {
            case (_, .failure(let error)): proceed(who, candidates[who].elector.failed(error, now: now))
            case (.read, .success(let lease)):
                proceed(who, candidates[who].elector.read(lease, now: now, date: date(who)))
            case (_, .success(let lease?)): proceed(who, candidates[who].elector.wrote(lease, now: now))
            case (_, .success(nil)): break
            }
        }

        mutating func proceed(_ who: Int, _ step: LeaseElector.Step) {
            guard step == .rest else { return add(who, .arrive(step), after: delay()) }
            if !candidates[who].leads, let epoch = candidates[who].elector.epoch(at: now) {
                candidates[who].leads = true
                if let last = epochs.last { #expect(epoch > last) }
                epochs.append(epoch)
            }
            let pause = candidates[who].elector.pause(now: now, random: random.fraction())
            plan.append((now + pause + .milliseconds(Int.random(in: delay(), using: &random)), who, .begin))
        }

        func check() {
            #expect(candidates.count { $0.elector.leads(at: now) } <= 1)
        }
    }

    @Test(arguments: 0..<150) func oneLeadsAtMost(_ seed: Int) {
        var world = World(seed: seed, 2 + seed % 3)
        for _ in 0..<1500 { world.step() }
        // Somebody does lead, again and again.
        #expect(world.epochs.count >= 5)
        #expect(world.releases >= 1)
        #expect(Set(world.epochs).count == world.epochs.count)
    }
}
