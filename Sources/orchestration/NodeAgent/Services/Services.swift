/// What runs our units: systemd, or on a host without it keepers of our own.
protocol Services: Sendable {
    func states() throws(AgentError) -> [UnitName: UnitState]
    func start(_ unit: UnitName) throws(AgentError)
    /// Starts it and does not wait.
    func begin(_ unit: UnitName) throws(AgentError)
    func restart(_ unit: UnitName) throws(AgentError)
    /// - Returns: whether the unit did what a reload means to it.
    func reload(_ unit: UnitName) throws(AgentError) -> Bool
    /// No error when it does not run or does not exist.
    func stop(_ unit: UnitName) throws(AgentError)
    func forgetFailure(_ unit: UnitName) throws(AgentError)
    /// The last lines of a unit's log; empty when there is none.
    func lastWords(_ unit: UnitName) -> String
}

extension ServiceManager: Services {}

extension Host {
    var services: any Services { hasSystemd() ? ServiceManager(run: run) : OwnServices(paths: paths) }

    /// What the user must know of this host for as long as it is what it is, in words.
    var caveats: [String]? {
        hasSystemd()
            ? nil
            : [
                "the VPS has no systemd: after a reboot nothing comes back unless its own init runs \(paths.agent) boot"
            ]
    }
}
