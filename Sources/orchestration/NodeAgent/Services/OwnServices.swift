import CLinuxHeaders
import Glibc
import NetworkTypes
import NodeDocument
import Syscalls

/// Our units on a host without systemd: each has a keeper (`Keeper`), which holds a lock on the file that names it.
struct OwnServices: Services {
    let paths: HostPaths

    /// Units that are processes; the others are done when they are called.
    static let kept: [UnitName] = [.wireGuard, .envoy, .link]

    func states() throws(AgentError) -> [UnitName: UnitState] {
        var states = [UnitName.boot: UnitState(active: "active", file: "enabled")]
        for unit in Self.kept {
            let pids = keeper(of: unit)
            states[unit] = UnitState(active: pids == nil ? "inactive" : "active", file: "enabled", mainPID: pids?.child ?? 0)
        }
        return states
    }

    func start(_ unit: UnitName) throws(AgentError) {
        try begin(unit)
        let deadline = Deadline(milliseconds: 5000)
        while deadline.remaining != nil {
            if keeper(of: unit) != nil { return }
            usleep(10_000)
        }
        throw AgentError(.system, "\(unit.rawValue) did not start: \(lastWords(unit))")
    }

    func begin(_ unit: UnitName) throws(AgentError) {
        guard Self.kept.contains(unit), keeper(of: unit) == nil else { return }
        let log = try attempting("opening \(paths.log(unit))") { () throws(SystemFailure) in
            try Descriptor.open(paths.log(unit), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, mode: 0o600)
        }
        _ = try Command(paths.agent, [unit.keeperVerb], folder: "/").start {
            $0.output = log
            $0.errors = log
            $0.startsSession = true
        }
    }

    func restart(_ unit: UnitName) throws(AgentError) {
        try stop(unit)
        try start(unit)
    }

    func reload(_ unit: UnitName) throws(AgentError) -> Bool {
        guard let child = keeper(of: unit)?.child else { return false }
        if unit == .link { return kill(child, SIGHUP) == 0 }
        guard unit == .envoy else { return false }
        return try EnvoyRestart.ask(child, paths).kind != .failed
    }

    func stop(_ unit: UnitName) throws(AgentError) {
        guard let pids = keeper(of: unit) else { return }
        kill(pids.keeper, SIGTERM)
        // Which has them to give its child.
        let deadline = Deadline(milliseconds: unit.stopMilliseconds + 5000)
        while deadline.remaining != nil {
            if keeper(of: unit) == nil { return }
            usleep(10_000)
        }
        kill(pids.keeper, SIGKILL)
        if let child = pids.child { kill(child, SIGKILL) }
    }

    func forgetFailure(_ unit: UnitName) throws(AgentError) {}

    func lastWords(_ unit: UnitName) -> String {
        let bytes = (try? readFile(paths.log(unit), limit: 16 << 20)) ?? []
        let lines = String(decoding: bytes.suffix(4096), as: UTF8.self).split(separator: "\n").suffix(5)
        return printable(lastingWords(of: lines.joined(separator: " | ")), limit: 2000)
    }

    /// Removes what keepers leave behind, at the end of a teardown.
    func clear() throws(AgentError) {
        for unit in Self.kept {
            try removeFile(paths.keeper(unit))
            try removeFile(paths.log(unit))
        }
    }

    /// - Returns: nil when the unit has no keeper.
    private func keeper(of unit: UnitName) -> (keeper: Int32, child: Int32?)? {
        guard let file = try? Descriptor.open(paths.keeper(unit), O_RDWR | O_NOFOLLOW) else { return nil }
        if flock(file.number, LOCK_SH | LOCK_NB) == 0 { return nil }
        let bytes = (try? file.readAll(limit: 4096)) ?? []
        let pids = String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { Int32($0) }
        guard let keeper = pids.first, keeper > 1 else { return nil }
        return (keeper, pids.count > 1 && pids[1] > 1 ? pids[1] : nil)
    }
}
