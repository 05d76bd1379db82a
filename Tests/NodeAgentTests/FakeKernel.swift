import Glibc
import HostNetwork
import NetworkTypes
import NodeDocument
import Sodium
import Synchronization
import WireGuardNetlink

@testable import NodeAgent
@testable import RouteNetlink

extension FakeHost {
    var tunnel: Tunnel {
        Tunnel(
            ensure: { _, lastEndpoints, _, start throws(AgentError) in
                if let failure = self.machine.withLock(\.tunnelFailure) { throw AgentError(.wireGuard, failure) }
                if self.machine.withLock(\.hasTunnel) { return (.userspace, []) }
                try start()
                self.machine.withLock { machine in
                    machine.hasTunnel = true
                    machine.lastEndpoints = lastEndpoints
                }
                return (.userspace, ["wg-relay: created"])
            },
            status: {
                self.machine.withLock { $0.hasTunnel ? (.userspace, WireGuardDeviceStatus(peers: $0.peers)) : nil }
            },
            forget: { peers in self.machine.withLock { $0.forgotten += peers.map(\.publicKey) } },
            remove: {
                self.machine.withLock { machine in
                    defer { machine.hasTunnel = false }
                    return machine.hasTunnel ? ["wg-relay: removed"] : []
                }
            })
    }

    var kernel: KernelControl {
        KernelControl(
            setting: { name in self.machine.withLock { $0.settings[name] } },
            set: { name, value in self.machine.withLock { $0.settings[name] = value } },
            offloads: { [:] }, setOffloads: { _, _, _ in },
            sockets: { () throws(AgentError) in self.machine.withLock(\.foreignSockets) + (try self.envoySockets()) },
            inputDrops: { ports in
                let closed = self.machine.withLock(\.closedPorts)
                return Dictionary(ports.filter { closed.contains($0.port.number) }.map { ($0, "\($0) is closed") }) { first, _ in
                    first
                }
            },
            owners: { sockets in Dictionary(sockets.map { ($0.inode, "nginx (pid 7)") }) { first, _ in first } },
            guardTunnel: { _, user, link throws(AgentError) in
                try self.machine.withLock { machine throws(AgentError) in
                    if machine.lacksNFTables { throw AgentError(.network, "NFT_MSG_GETGEN: Operation not supported") }
                    defer { (machine.guardedFor, machine.linksGuardedFor) = (user, link) }
                    return machine.guardedFor == user && machine.linksGuardedFor == link
                        ? [] : ["nftables: made table ip tidegate_relay"]
                }
            },
            unguardTunnel: {
                self.machine.withLock { machine in
                    defer { machine.guardedFor = nil }
                    return machine.guardedFor == nil ? [] : ["nftables: removed table ip tidegate_relay"]
                }
            })
    }

    /// What Envoy would listen on, read from the file it would read.
    private func envoySockets() throws(AgentError) -> [BoundSocket] {
        guard machine.withLock({ $0.running.contains(UnitName.envoy.rawValue) }) else { return [] }
        let listeners = try resources(EnvoyLayout.listeners)
        var sockets: [BoundSocket] = []
        for (name, transport, number) in [("tcp-443", TransportProtocol.tcp, 443), ("udp-53", .udp, 53), ("tcp-80", .tcp, 80)] {
            guard listeners?.resources.contains(where: { $0.name == name }) == true else { continue }
            do {
                sockets.append(
                    BoundSocket(
                        transport: transport, address: try IPAddress(parsing: "::"), port: try Port(number), isConnected: false,
                        uid: getuid(),
                        inode: 1))
            } catch {
                throw AgentError(.system, "\(error)")
            }
        }
        return sockets
    }

    /// Plays Envoy's admin interface: it takes the files as they lie there at that moment.
    func askEnvoy(_ path: String) throws(AgentError) -> HTTPReply {
        guard machine.withLock({ $0.running.contains(UnitName.envoy.rawValue) }) else {
            throw AgentError(.network, "connecting: No such file or directory")
        }
        let listeners = try resources(EnvoyLayout.listeners)
        let clusters = try resources(EnvoyLayout.clusters)
        return machine.withLock { machine in
            let refused = machine.unbindable.filter { entry in
                listeners?.resources.contains { $0.name == entry.key } == true
            }
            if path.hasPrefix("/config_dump") {
                let entries = refused.map { #"{"name":"\#($0.key)","error_state":{"details":"\#($0.value)"}}"# }
                return HTTPReply(status: 200, body: Array("{\"configs\":[\(entries.joined(separator: ","))]}".utf8))
            }
            machine.clustersVersion = clusters?.version
            if refused.isEmpty { machine.listenersVersion = listeners?.version } else { machine.rejections += 1 }
            let text = """
                cluster_manager.cds.version_text: "\(machine.clustersVersion ?? "")"
                cluster_manager.warming_clusters: 0
                listener_manager.lds.update_rejected: \(machine.rejections)
                listener_manager.lds.version_text: "\(machine.listenersVersion ?? "")"
                server.state: 0

                """
            return HTTPReply(status: 200, body: Array(text.utf8))
        }
    }

    /// As the prober reads them.
    private func resources(_ path: String) throws(AgentError) -> ResourceSet? {
        let bytes = try readFile(paths.envoyFiles + "/" + path)
        return bytes.flatMap { try? ResourceSet($0) }
    }
}
