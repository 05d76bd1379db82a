import NodeDocument

/// Our units on the host's disk, and whether systemd knows them.
struct UnitFiles {
    let host: Host

    /// Writes and enables units that are missing or differ.
    /// - Returns: what was changed, in words, and what systemd says of all our units.
    func ensure(
        _ units: [UnitName], _ settings: UnitSettings
    ) throws(AgentError) -> (changes: [String], states: [UnitName: UnitState]) {
        var changes: [String] = []
        for unit in units where try ensureFile(host.paths.unit(unit), unit.text(settings), .publicFile) {
            changes.append("\(unit.rawValue) written")
        }
        var states = try host.services.states()
        if !changes.isEmpty || units.contains(where: { states[$0]?.needsReload == true }) {
            try host.services.reload()
            states = try host.services.states()
        }
        for unit in units where states[unit]?.isEnabled != true {
            try host.services.enable(unit)
            changes.append("\(unit.rawValue) enabled")
        }
        return (changes, states)
    }

    /// Stops and removes every unit of ours.
    /// - Returns: what was changed, in words.
    func removeAll() throws(AgentError) -> [String] {
        var changes: [String] = []
        let units: [UnitName] = [.envoy, .boot, .wireGuard]
        for unit in units where try statusOf(host.paths.unit(unit)) != nil {
            try host.services.stop(unit)
            try host.services.disable(unit)
            try removeFile(host.paths.unit(unit))
            changes.append("\(unit.rawValue) removed")
        }
        if !changes.isEmpty { try host.services.reload() }
        for unit in units where !changes.isEmpty { try host.services.forgetFailure(unit) }
        return changes
    }
}
