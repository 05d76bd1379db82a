import Logging
import NodeDocument

/// Sets and restores kernel settings, and remembers in `state` what stood before.
struct KernelSettings {
    let host: Host

    /// - Returns: what was changed, in words, and what could not be.
    func apply(_ wanted: WantedSettings, _ state: inout StateFile) throws(AgentError) -> (
        changes: [String], problems: [AgentProblem]
    ) {
        var changes: [String] = []
        var problems: [AgentProblem] = []
        for (name, wish) in wanted.values.sorted(by: { $0.key < $1.key }) {
            do throws(AgentError) {
                let current = try host.kernel.setting(name)
                let former = state.value.formerSettings[name]
                guard let current else {
                    host.logger.warning("this host does not let the setting be changed", metadata: ["setting": "\(name)"])
                    continue
                }
                guard let value = WantedSettings.change(to: wish, current: current, former: former) else { continue }
                if former == nil { state.value.formerSettings[name] = current }
                try state.save()
                try host.kernel.set(name, value)
                changes.append("\(name) \(value) (was \(current))")
            } catch {
                if error.kind == .diskFull { throw error }
                problems.append(
                    AgentProblem(kind: error.kind, message: "\(name) stays as it is: \(error.message)\(Self.advice(name))"))
            }
        }
        for name in state.value.formerSettings.keys.sorted() where wanted.values[name] == nil {
            changes += try restore(name, &state)
        }
        do throws(AgentError) {
            changes += try wanted.disablesOffloads ? disableOffloads(&state) : restoreOffloads(&state)
        } catch {
            if error.kind == .diskFull { throw error }
            problems.append(error.problem)
        }
        try state.save()
        return (changes, problems)
    }

    private static func advice(_ name: String) -> String {
        name.hasPrefix("net.core.")
            ? "; where the VPS is a container only its provider can change it, and UDP bursts may be lost; "
                + "host.kernelMaxSocketBufferBytes: 0 leaves it alone"
            : ""
    }

    /// Puts back all that stood before.
    func restoreAll(_ state: inout StateFile) throws(AgentError) -> [String] {
        var changes: [String] = []
        for name in state.value.formerSettings.keys.sorted() { changes += try restore(name, &state) }
        return changes + (try restoreOffloads(&state))
    }

    private func restore(_ name: String, _ state: inout StateFile) throws(AgentError) -> [String] {
        guard let former = state.value.formerSettings[name] else { return [] }
        let current = try host.kernel.setting(name)
        if current != nil && current != former { try host.kernel.set(name, former) }
        state.value.formerSettings[name] = nil
        return current == former || current == nil ? [] : ["\(name) \(former) again"]
    }

    private func disableOffloads(_ state: inout StateFile) throws(AgentError) -> [String] {
        var changes: [String] = []
        for (device, features) in try host.kernel.offloads().sorted(by: { $0.key < $1.key }) {
            // Some cannot be turned off; those that are remembered were tried already.
            let known = Set(state.value.formerOffloads[device] ?? [])
            let new = features.filter { !known.contains($0) }
            state.value.formerOffloads[device] = known.union(new).sorted()
            try state.save()
            guard !features.isEmpty else { continue }
            try host.kernel.setOffloads(features, false, device)
            let rest = Set(try host.kernel.offloads()[device] ?? [])
            let done = features.filter { !rest.contains($0) }
            if !done.isEmpty { changes.append("\(device): offloads off: \(done.joined(separator: " "))") }
        }
        return changes
    }

    private func restoreOffloads(_ state: inout StateFile) throws(AgentError) -> [String] {
        var changes: [String] = []
        for (device, features) in state.value.formerOffloads.sorted(by: { $0.key < $1.key }) {
            if !features.isEmpty {
                try host.kernel.setOffloads(features, true, device)
                changes.append("\(device): offloads on again")
            }
            state.value.formerOffloads[device] = nil
        }
        return changes
    }
}
