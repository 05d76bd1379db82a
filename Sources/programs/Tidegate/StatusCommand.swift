import ArgumentParser
import EdgeAPI
import ManifestStore
import NetworkTypes

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Prints what a standalone controller last knew, as a tree.",
        discussion: "Ends with status 1 when something is not ready.")

    @Option(help: "The state folder of the controller.")
    var state: String

    func run() throws {
        let tree = StatusTree(try StateFolder.readStatuses(at: state))
        print(tree.lines.joined(separator: "\n"))
        if !tree.isReady { throw ExitCode(1) }
    }
}

/// The statuses of a state folder as lines for people.
struct StatusTree {
    private(set) var lines: [String] = []
    /// Whether every condition named Ready is true.
    private(set) var isReady = true

    init(_ statuses: WrittenStatuses) {
        if statuses.edgeNodes.isEmpty, statuses.portBindings.isEmpty { lines = ["nothing is known yet"] }
        for (name, status) in statuses.edgeNodes.sorted(by: { $0.name < $1.name }) { add(name, status) }
        for (name, status) in statuses.portBindings.sorted(by: { $0.name < $1.name }) { add(name, status) }
    }

    private mutating func add(_ name: ObjectName, _ status: EdgeNodeStatus) {
        head("EdgeNode", name, status.conditions)
        for condition in status.conditions where condition.type != "Ready" { add(condition) }
        let parts = [
            status.wireGuardKind.map { "WireGuard in the \($0 == "kernel" ? "kernel" : "user space")" },
            status.envoyVersion.map { "Envoy \(printable($0))" }, status.appliedBindings.map { "\($0) bindings applied" },
        ]
        let facts = parts.compactMap { $0 }.joined(separator: ", ")
        if !facts.isEmpty { lines.append("  · \(facts)") }
        for uplink in status.uplinks {
            let handshake = uplink.lastHandshake.map { "last handshake \($0)" } ?? "no handshake yet"
            lines.append("  \(mark(uplink.ready)) uplink \(uplink.name) \(uplink.tunnelIP), \(handshake)")
        }
    }

    private mutating func add(_ name: ObjectName, _ status: PortBindingStatus) {
        head("PortBinding", name, status.conditions)
        let width = status.bindings.map(\.name.count).max() ?? 0
        for binding in status.bindings {
            let padding = String(repeating: " ", count: width - binding.name.count)
            let target = binding.target.map { " → \($0)" } ?? ""
            let tail = binding.ready ? "" : "  \(binding.reason.rawValue): \(printable(binding.message, limit: 600))"
            lines.append("  \(mark(binding.ready)) \(binding.name)\(padding)  \(binding.address)\(target)\(tail)")
        }
    }

    private mutating func head(_ kind: String, _ name: ObjectName, _ conditions: [Condition]) {
        let ready = conditions["Ready"]
        if ready?.status != .true { isReady = false }
        lines.append("\(mark(ready?.status == .true)) \(kind) \(name)  \(ready?.reason ?? "Unknown")")
    }

    private mutating func add(_ condition: Condition) {
        lines.append(
            "  \(mark(condition.status == .true)) \(condition.type): \(condition.reason): \(printable(condition.message, limit: 600))"
        )
    }

    private func mark(_ isGood: Bool) -> String { isGood ? "✔" : "✘" }
}
