import NetworkTypes
import NodeDocument

/// What systemd says of a unit (`systemctl show`).
struct UnitState: Hashable, Sendable {
    /// `active`, `activating`, `failed`, `inactive`, …
    var active = "inactive"
    /// `enabled`, `disabled`, or empty when there is no such unit.
    var file = ""
    /// Whether the file changed since systemd read it.
    var needsReload = false
    /// 0 for none.
    var mainPID: Int32 = 0
    /// Why the last run ended, such as `exit-code`; `success` otherwise.
    var result = "success"

    var isRunning: Bool { mainPID != 0 && (active == "active" || active == "activating" || active == "reloading") }
    var isEnabled: Bool { file == "enabled" }

    static let properties = "Id,ActiveState,UnitFileState,NeedDaemonReload,MainPID,Result"

    /// Reads what `systemctl show --property=… UNIT…` prints: `KEY=VALUE` lines, an empty line between units.
    static func parse(_ text: String) -> [UnitName: UnitState] {
        var states: [UnitName: UnitState] = [:]
        var state = UnitState()
        var name: UnitName?
        let lines: [Substring] = text.split(separator: "\n", omittingEmptySubsequences: false) + [""]
        for line in lines {
            if line.isEmpty {
                if let name { states[name] = state }
                state = UnitState()
                name = nil
                continue
            }
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { continue }
            let value = String(parts[1])
            switch parts[0] {
            case "Id": name = UnitName(rawValue: value)
            case "ActiveState": state.active = value
            case "UnitFileState": state.file = value
            case "NeedDaemonReload": state.needsReload = value == "yes"
            case "MainPID": state.mainPID = Int32(value) ?? 0
            case "Result": state.result = value
            default: break
            }
        }
        return states
    }
}

/// systemctl(1) of the host, by its fixed words.
struct ServiceManager: Sendable {
    private let run: @Sendable (Command) throws(AgentError) -> CommandResult
    private static let program = findProgram("systemctl")

    init(run: @escaping @Sendable (Command) throws(AgentError) -> CommandResult) { self.run = run }

    func states() throws(AgentError) -> [UnitName: UnitState] {
        let names = UnitName.allCases.map(\.rawValue)
        return UnitState.parse(try call(["show", "--property=\(UnitState.properties)"] + names).output)
    }

    func reload() throws(AgentError) { try call(["daemon-reload"]) }
    func enable(_ unit: UnitName) throws(AgentError) { try call(["enable", "--quiet", unit.rawValue]) }
    func disable(_ unit: UnitName) throws(AgentError) { try call(["disable", "--quiet", unit.rawValue]) }
    func start(_ unit: UnitName) throws(AgentError) { try call(["start", unit.rawValue]) }
    /// Starts it and does not wait.
    func begin(_ unit: UnitName) throws(AgentError) { try call(["start", "--no-block", unit.rawValue]) }
    func restart(_ unit: UnitName) throws(AgentError) { try call(["restart", unit.rawValue]) }
    /// - Returns: whether the unit's own command for it succeeded.
    func reload(_ unit: UnitName) throws(AgentError) -> Bool {
        // A minimal host has no kill(1) for `ExecReload=`.
        if unit == .link {
            return try run(Command(Self.program, ["kill", "--kill-who=main", "--signal=HUP", unit.rawValue])).succeeded
        }
        return try run(Command(Self.program, ["reload", unit.rawValue], timeoutSeconds: EnvoyRestart.patienceSeconds + 10))
            .succeeded
    }
    /// No error when it does not run or does not exist.
    func stop(_ unit: UnitName) throws(AgentError) { _ = try run(Command(Self.program, ["stop", unit.rawValue])) }
    func forgetFailure(_ unit: UnitName) throws(AgentError) {
        _ = try run(Command(Self.program, ["reset-failed", unit.rawValue]))
    }

    /// The last lines of a unit's log; empty when there is no journal.
    func lastWords(_ unit: UnitName) -> String {
        do throws(AgentError) {
            let result = try run(
                Command(
                    findProgram("journalctl"), ["--unit", unit.rawValue, "--lines=5", "--output=cat", "--no-pager", "--quiet"],
                    timeoutSeconds: 5))
            return printable(lastingWords(of: result.output.split(separator: "\n").joined(separator: " | ")), limit: 2000)
        } catch {
            return ""
        }
    }

    @discardableResult
    private func call(_ arguments: [String]) throws(AgentError) -> CommandResult {
        let result = try run(Command(Self.program, arguments))
        guard result.succeeded else {
            throw AgentError(.system, "systemctl \(arguments.joined(separator: " ")) failed: \(result.complaint)")
        }
        return result
    }
}
