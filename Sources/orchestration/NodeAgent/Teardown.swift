import Glibc
public import NodeDocument

extension Agent {
    /// Removes everything of ours from the host, the agent last of all.
    /// - Parameter request: a `TeardownRequest` as JSON; empty when somebody at the host asks, who may do it whoever owns it.
    public func teardown(_ request: [UInt8]) -> AgentReport {
        var report = AgentReport(outcome: .refused, agentBuild: host.build)
        do throws(AgentError) {
            let asker = try readRequest(request)
            let lock = try HostLock(host.paths.lock)
            defer { withExtendedLifetime(lock) {} }
            var state = try StateFile(host.paths)
            if state.value.owner != nil { report.epoch = state.value.epoch }
            if let asker, state.value.owner != nil {
                try checkFence(
                    state.value, owner: asker.owner, epoch: asker.epoch ?? state.value.epoch, writer: asker.writer)
            }
            report.changes += try UnitFiles(host: host).removeAll()
            report.changes += try host.tunnel.remove()
            // What could not be set cannot be removed, and stops nothing.
            report.changes += (try? host.kernel.unguardTunnel()) ?? []
            report.changes += try KernelSettings(host: host).restoreAll(&state)
            if state.value.madeUser, try EnvoyAccount.find(host.paths) != nil {
                try EnvoyAccount.remove(host)
                report.changes.append("the user \(envoyUser) removed")
            }
            report.changes += try LinkStep(host: host).removeUser(&state)
            report.changes += try SSHDoor(host: host).close(&state)
            for path in [host.paths.settings, host.paths.runtime, host.paths.linkRuntime, host.paths.programs]
            where try removeTree(path) {
                report.changes.append("\(path) removed")
            }
            // wireguard-go's folder, unless another interface still uses it.
            if rmdir(host.paths.wireGuardSockets) == 0 { report.changes.append("\(host.paths.wireGuardSockets) removed") }
            lock.removeFile()
            report.outcome = .applied
        } catch {
            refuse(&report, error)
        }
        return report
    }

    private func readRequest(_ bytes: [UInt8]) throws(AgentError) -> TeardownRequest? {
        if bytes.allSatisfy({ $0 == 0x20 || $0 == 0x0A || $0 == 0x0D || $0 == 0x09 }) { return nil }
        do throws(DocumentError) {
            return try DocumentJSON.decode(TeardownRequest.self, from: bytes)
        } catch {
            throw AgentError(.badDocument, "the request cannot be read: \(error.message)")
        }
    }
}
