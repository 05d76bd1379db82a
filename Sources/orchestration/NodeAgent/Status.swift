import HostNetwork
import NetworkTypes
public import NodeDocument
import RouteNetlink

extension Agent {
    /// The host as it is. Changes nothing and takes no lock.
    public func status() -> AgentReport {
        var report = AgentReport(outcome: .observed, agentBuild: host.build)
        report.caveats = host.caveats
        func observe(_ step: () throws(AgentError) -> Void) {
            do throws(AgentError) { try step() } catch { report.problems.append(error.problem) }
        }
        var document: RelayDocument?
        observe { () throws(AgentError) in document = try readJSON(RelayDocument.self, from: host.paths.document) }
        report.hash = document?.hash
        report.epoch = document?.epoch
        observe { () throws(AgentError) in
            report.relayPublicKey = try RelayKey.read(host.paths).map { key throws(AgentError) in try RelayKey.publicKey(key) }
        }
        guard let content = document?.content else { return report }
        observe { () throws(AgentError) in
            let tunnel = try host.tunnel.status()
            report.wireGuardKind = tunnel?.kind.rawValue
            report.peers = Peers(host: host).report(content.wireGuard, tunnel?.device, UplinkWord.read(host.paths))
        }
        report.envoyVersion = EnvoyBinary(paths: host.paths).chosen()
        let listeners = content.listeners
        observe { () throws(AgentError) in
            let user = try EnvoyAccount.find(host.paths)?.user
            let check = PortCheck(listeners, sockets: try host.kernel.sockets(), envoy: user)
            let owners = check.taken.isEmpty ? [:] : host.kernel.owners(Array(check.taken.values))
            let firewall = FirewallCheck(host: host, tunnel: content.wireGuard.listenPort, listeners: listeners)
            report.tunnelDropped = firewall.tunnel(content.wireGuard.listenPort)
            report.listeners = listeners.map { listener in
                if check.bound.contains(listener.name) { return firewall.report(listener) }
                guard let socket = check.taken[listener.name] else {
                    return ListenerReport(
                        name: listener.name, state: .pending, message: "nothing has the port; is Envoy running?")
                }
                let message = PortCheck.message(listener, socket, owner: owners[socket.inode])
                return ListenerReport(name: listener.name, state: .portInUse, message: message)
            }
        }
        return report
    }
}
