import HostNetwork
import NetworkTypes
public import NodeDocument
import RouteNetlink
import Sodium

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
            guard let key = try RelayKey.read(host.paths) else { return }
            report.relayPublicKey = try RelayKey.publicKey(key)
            report.linkPin = try RelayKey.linkKey(key).pin
        }
        guard let content = document?.content else { return report }
        observe { () throws(AgentError) in
            let tunnel = try host.tunnel.status()
            report.wireGuardKind = tunnel?.kind.rawValue
            let links = content.link.flatMap { _ in LinkStatusFile.read(host.paths) }
            report.problems += links?.problems ?? []
            report.peers = Peers(host: host).report(content, tunnel?.device, UplinkWord.read(host.paths), links)
        }
        if content.link?.takesSSH == true {
            observe { () throws(AgentError) in report.sshObstacle = try SSHDoor(host: host).obstacle() }
        }
        report.envoyVersion = EnvoyBinary(paths: host.paths).chosen()
        let listeners = content.listeners
        observe { () throws(AgentError) in
            let user = try EnvoyAccount.find(host.paths)?.user
            let check = PortCheck(listeners, sockets: try host.kernel.sockets(), envoy: user)
            let owners = check.taken.isEmpty ? [:] : host.kernel.owners(Array(check.taken.values))
            let firewall = FirewallCheck(host: host, content, listeners: listeners)
            report.tunnelDropped = firewall.tunnel
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
