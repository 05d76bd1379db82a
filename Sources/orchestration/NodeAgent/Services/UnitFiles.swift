import NodeDocument

/// Our units on the host's disk, and whether systemd knows them.
struct UnitFiles {
    let host: Host

    private var systemd: ServiceManager { ServiceManager(run: host.run) }

    /// Writes and enables units that are missing or differ.
    /// - Returns: what was changed, in words, and what systemd says of all our units.
    func ensure(
        _ units: [UnitName], _ settings: UnitSettings
    ) throws(AgentError) -> (changes: [String], states: [UnitName: UnitState]) {
        guard host.hasSystemd() else { return ([], try host.services.states()) }
        var changes: [String] = []
        for unit in units where try ensureFile(host.paths.unit(unit), unit.text(settings), .publicFile) {
            changes.append("\(unit.rawValue) written")
        }
        var states = try systemd.states()
        if !changes.isEmpty || units.contains(where: { states[$0]?.needsReload == true }) {
            try systemd.reload()
            states = try systemd.states()
        }
        for unit in units where states[unit]?.isEnabled != true {
            try systemd.enable(unit)
            changes.append("\(unit.rawValue) enabled")
        }
        return (changes, states)
    }

    /// Stops and removes every unit of ours.
    /// - Returns: what was changed, in words.
    func removeAll() throws(AgentError) -> [String] {
        // The link program after Envoy, whose connections it would wait for.
        let changes = try remove([.envoy, .link, .boot, .wireGuard])
        if !host.hasSystemd() { try OwnServices(paths: host.paths).clear() }
        return changes
    }

    /// Stops and removes these.
    /// - Returns: what was changed, in words.
    func remove(_ units: [UnitName]) throws(AgentError) -> [String] {
        var changes: [String] = []
        guard host.hasSystemd() else {
            let own = OwnServices(paths: host.paths)
            for unit in units where try own.states()[unit]?.isRunning == true {
                try own.stop(unit)
                changes.append("\(unit.stem) ended")
            }
            return changes
        }
        for unit in units where try statusOf(host.paths.unit(unit)) != nil {
            try systemd.stop(unit)
            try systemd.disable(unit)
            try removeFile(host.paths.unit(unit))
            changes.append("\(unit.rawValue) removed")
        }
        if !changes.isEmpty { try systemd.reload() }
        for unit in units where !changes.isEmpty { try systemd.forgetFailure(unit) }
        return changes
    }
}
