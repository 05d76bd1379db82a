/// Decides when which Envoy starts and ends; `RunEnvoy` does it. All times are milliseconds of one clock that never steps.
///
/// Envoys that hand over to each other form a chain: one base id, rising epochs. A fresh start opens a new chain, so that it cannot meet
/// what an ended one left behind.
struct EnvoySupervisor: Hashable, Codable, Sendable {
    struct Start: Hashable, Codable, Sendable {
        var epoch: Int
        /// Nil for a new one.
        var base: Int?
    }

    enum Phase: Hashable, Codable, Sendable {
        /// Not live yet.
        case starting
        case serving
        /// Another has taken over.
        case draining(until: Int64)
    }

    struct Process: Hashable, Codable, Sendable {
        var pid: Int32
        var epoch: Int
        var base: Int
        var program: EnvoyProgram
        var startedAt: Int64
        var phase = Phase.starting
        /// When it is killed, having been told to end; nil while it may live.
        var killAt: Int64?
    }

    enum Event: Hashable, Sendable {
        case begin
        /// A restart is asked for; what the program on the disk is, or why it cannot be run.
        case restartAsked(Result<EnvoyProgram, AgentError>)
        case started(Start, base: Int, pid: Int32, EnvoyProgram)
        case notStarted(Start, reason: String)
        /// Envoy says that it serves.
        case live(pid: Int32)
        case ended(pid: Int32, how: String)
        case stopAsked
        case tick
    }

    enum Action: Hashable, Sendable {
        case start(Start)
        case terminate(pid: Int32)
        case kill(pid: Int32)
        /// Look at the program on the disk, and say `restartAsked`.
        case askAgain
        /// Nothing of this chain runs any more: remove its shared memory and sockets.
        case clear(base: Int)
        /// The newest of this chain died before it served: take away the mark that keeps others from starting.
        case unmark(base: Int)
        case exit
    }

    private enum Request: Hashable, Codable { case hot, plain(reason: String) }

    private(set) var processes: [Process] = []
    private(set) var restarts = 0
    private(set) var outcome: EnvoyRun.Outcome?
    var launch: EnvoyLaunch
    private var isStopping = false
    private var request: Request?
    private var isAskedAgain = false
    /// When the next fresh start is due; nil while none is.
    private var startAt: Int64?
    /// When a failed hot restart is tried again: the attempt has cost the former Envoy its admin interface. Nil when there is no need.
    private var retryAt: Int64?
    private var failures = 0

    /// A new Envoy that is not live by then ends again: it waits two probes for its uplinks at most. `EnvoyRestart` waits a little longer.
    private static let patience: Int64 = 60_000
    /// Between being told to end and being killed.
    private static let mercy: Int64 = 5000
    /// One that lived as long did not fail at its start.
    private static let sound: Int64 = 60_000
    /// Beyond the drain time, for its successor to end it.
    private static let slack: Int64 = 15_000

    init(launch: EnvoyLaunch) { self.launch = launch }

    /// Whether something is to be looked at often.
    var isBusy: Bool { request != nil || isStopping || processes.contains { $0.phase == .starting || $0.killAt != nil } }

    private var serving: Process? { processes.last { $0.phase == .serving && $0.killAt == nil } }

    mutating func handle(_ event: Event, now: Int64) -> [Action] {
        switch event {
        case .begin: startAt = now
        case .restartAsked(let candidate): return restart(candidate, now)
        case .started(let start, let base, let pid, let program):
            processes.append(Process(pid: pid, epoch: start.epoch, base: base, program: program, startedAt: now))
            if isStopping { return terminate(now) { _ in true } }
        case .notStarted(let start, let reason): return notStarted(start, reason, now)
        case .live(let pid): live(pid, now)
        case .ended(let pid, let how): return ended(pid, how, now)
        case .stopAsked:
            isStopping = true
            startAt = nil
            retryAt = nil
            return processes.isEmpty ? [.exit] : terminate(now) { _ in true }
        case .tick: break
        }
        return due(now)
    }

    // MARK: events

    private mutating func restart(_ candidate: Result<EnvoyProgram, AgentError>, _ now: Int64) -> [Action] {
        if isStopping { return [] }
        if request != nil {
            isAskedAgain = true
            return []
        }
        retryAt = nil
        let next: EnvoyProgram
        switch candidate {
        case .failure(let error):
            finish(.failed, error.message)
            return []
        case .success(let program): next = program
        }
        guard let serving else {
            request = .plain(reason: "no Envoy was serving")
            startAt = now
            return terminate(now) { _ in true } + due(now)
        }
        if let obstacle = serving.program.obstacle(to: next, hasUDP: launch.hasUDP) {
            request = .plain(reason: obstacle)
            startAt = now
            return terminate(now) { _ in true }
        }
        request = .hot
        return [.start(Start(epoch: serving.epoch + 1, base: serving.base))]
    }

    private mutating func notStarted(_ start: Start, _ reason: String, _ now: Int64) -> [Action] {
        if start.base != nil { return failedTakeover(reason, now) }
        if request != nil { finish(.failed, "\(reason); it is tried again") }
        back(off: now)
        return []
    }

    private mutating func live(_ pid: Int32, _ now: Int64) {
        guard let index = processes.firstIndex(where: { $0.pid == pid && $0.phase == .starting }) else { return }
        let end = now + Int64(launch.drainSeconds) * 1000 + Self.slack
        for former in processes.indices where processes[former].phase == .serving {
            processes[former].phase = .draining(until: end)
        }
        processes[index].phase = .serving
        switch request {
        case .hot:
            let former = processes[..<index].last
            finish(
                .hot,
                "Envoy \(processes[index].program.version) (process \(pid)) took over from \(former?.program.version ?? "none")")
        case .plain(let reason): finish(.plain, reason)
        case nil: break
        }
    }

    private mutating func ended(_ pid: Int32, _ how: String, _ now: Int64) -> [Action] {
        guard let index = processes.firstIndex(where: { $0.pid == pid }) else { return [] }
        let gone = processes.remove(at: index)
        var actions: [Action] = processes.contains { $0.base == gone.base } ? [] : [.clear(base: gone.base)]
        if isStopping { return processes.isEmpty ? actions + [.exit] : actions }
        if gone.killAt != nil && gone.phase != .starting { return actions + due(now) }
        switch gone.phase {
        case .draining: break
        case .starting:
            let reason =
                "Envoy \(gone.program.version) \(gone.killAt == nil ? how : "was not live in time and was ended") before it served"
            if gone.epoch > 0 && serving != nil {
                actions += [.unmark(base: gone.base)] + failedTakeover(reason, now)
            } else if startAt == nil || gone.killAt == nil {
                if request != nil { finish(.failed, "\(reason); it is tried again") }
                back(off: now)
            }
        case .serving:
            if processes.contains(where: { $0.phase == .starting }) { break }
            failures = now - gone.startedAt >= Self.sound ? 0 : failures
            back(off: now)
            // It would go on to take datagrams from the sockets that they share, for a successor that is gone.
            if launch.hasUDP { actions += terminate(now) { $0.base == gone.base } }
        }
        return actions + due(now)
    }

    private mutating func failedTakeover(_ reason: String, _ now: Int64) -> [Action] {
        finish(.failed, "\(reason); the former one serves on, and the restart is tried again")
        failures += 1
        retryAt = now + delay
        return []
    }

    // MARK: time

    private mutating func due(_ now: Int64) -> [Action] {
        var actions: [Action] = []
        for index in processes.indices {
            if let killAt = processes[index].killAt {
                if killAt <= now { actions.append(.kill(pid: processes[index].pid)) }
                continue
            }
            let isLate =
                switch processes[index].phase {
                case .starting: processes[index].epoch > 0 && now - processes[index].startedAt > Self.patience
                case .serving: false
                case .draining(let until): now > until
                }
            guard isLate else { continue }
            processes[index].killAt = now + Self.mercy
            actions.append(.terminate(pid: processes[index].pid))
        }
        if isStopping { return actions }
        // Those of a plain restart end first: they hold the ports.
        let inTheWay = processes.contains {
            $0.phase == .starting || $0.phase == .serving || (request != nil && $0.killAt != nil)
        }
        if let startAt, startAt <= now, !inTheWay {
            self.startAt = nil
            actions.append(.start(Start(epoch: 0, base: nil)))
        }
        if request == nil, isAskedAgain || (retryAt ?? .max) <= now {
            isAskedAgain = false
            retryAt = nil
            actions.append(.askAgain)
        }
        return actions
    }

    private mutating func terminate(_ now: Int64, _ isMeant: (Process) -> Bool) -> [Action] {
        var actions: [Action] = []
        for index in processes.indices where processes[index].killAt == nil && isMeant(processes[index]) {
            processes[index].killAt = now + Self.mercy
            actions.append(.terminate(pid: processes[index].pid))
        }
        return actions
    }

    private mutating func finish(_ kind: EnvoyRun.Outcome.Kind, _ message: String) {
        request = nil
        restarts += 1
        outcome = EnvoyRun.Outcome(kind: kind, message: message)
        if kind != .failed { failures = 0 }
    }

    private mutating func back(off now: Int64) {
        startAt = now + (failures == 0 ? 0 : delay)
        failures += 1
    }

    /// 1 s, 2 s, 4 s, and 8 s from then on.
    private var delay: Int64 { 1000 << Int64(min(max(failures - 1, 0), 3)) }
}

extension EnvoySupervisor {
    func report(supervisor: Int32) -> EnvoyRun {
        EnvoyRun(
            supervisor: supervisor, restarts: restarts, outcome: outcome,
            processes: processes.map { process in
                let phase =
                    switch process.phase {
                    case .starting: "starting"
                    case .serving: "serving"
                    case .draining: "draining"
                    }
                return EnvoyRun.Process(pid: process.pid, epoch: process.epoch, version: process.program.version, phase: phase)
            })
    }
}

extension EnvoySupervisor.Start {
    /// Paths are seen from Envoy's working directory, which is read-only.
    func arguments(base: Int, drainSeconds: Int) -> [String] {
        [
            "--config-path", EnvoyLayout.bootstrap, "--restart-epoch", "\(epoch)", "--base-id", "\(base)", "--socket-path",
            EnvoyLayout.hotRestartSocket, "--drain-time-s", "\(drainSeconds)", "--parent-shutdown-time-s", "\(drainSeconds)",
            "--log-level", "warning",
        ]
    }
}
