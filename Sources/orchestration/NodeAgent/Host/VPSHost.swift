import CLinuxHeaders
import EnvoyConfig
import Glibc
import HostFirewall
import HostNetwork
public import Logging
import NFTables
import NetlinkMessages
import NetworkTypes
import NodeDocument
import RouteNetlink
import Sodium
import Syscalls
import WireGuardNetlink

extension Host {
    /// The machine itself.
    public static func live(paths: HostPaths, logger: Logger) -> Host {
        Host(
            paths: paths, build: AgentBuild.current(paths), logger: logger,
            run: { command throws(AgentError) in try command.run() },
            // sd_booted(3)
            hasSystemd: { access("/run/systemd/system", F_OK) == 0 },
            tunnel: .live, kernel: .live,
            envoyHost: { () throws(AgentError) in
                EnvoyHost(
                    hasIPv6: canListenOnIPv6(), memoryBytes: try memoryBytes(), openFiles: try openFilesOfServices(),
                    childFiles: OpenFiles.raise(), workers: processors(), localPorts: try localPorts())
            },
            askEnvoy: { path, limit throws(AgentError) in
                let target = HTTPTarget.unixSocket(paths.adminSocket)
                guard let result = fetch(path, from: [target], milliseconds: 2000, limit: limit).first else {
                    throw AgentError(.envoyNotRunning, "Envoy was not asked")
                }
                return try result.get()
            },
            askUplinks: { addresses in NodeAgent.askUplinks(addresses) },
            now: { Int64(time(nil)) })
    }
}

/// False with `ipv6.disable=1`; a sysctl that disables IPv6 leaves `::` usable.
private func canListenOnIPv6() -> Bool { (try? Descriptor.socket(AF_INET6)) != nil }

/// At least as many as Envoy starts worker threads: it starts fewer where it may not use them all.
func processors() -> Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

private func memoryBytes() throws(AgentError) -> Int {
    var information = sysinfo()
    try checked("reading the size of the memory") { sysinfo(&information) }
    return Int(information.totalram) * Int(information.mem_unit)
}

/// How many ports `net.ipv4.ip_local_port_range` spans.
private func localPorts() throws(AgentError) -> Int {
    let range = try readLine(of: "/proc/sys/net/ipv4/ip_local_port_range") ?? ""
    let ends = range.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
    guard ends.count == 2, ends[0] <= ends[1] else { return EnvoyHost.usualLocalPorts }
    return ends[1] - ends[0] + 1
}

/// The kernel's `fs.nr_open`, or what process 1 has where nobody may raise limits: in many a container, root and systemd may not.
private func openFilesOfServices() throws(AgentError) -> Int {
    let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    var own = rlimit()
    try checked("reading the limit of open files") { getrlimit(resource, &own) }
    let most = try readLine(of: "/proc/sys/fs/nr_open").flatMap { UInt($0) } ?? 1 << 20
    var raised = rlimit(rlim_cur: own.rlim_cur, rlim_max: rlim_t(most))
    guard setrlimit(resource, &raised) == 0 else {
        let limits = String(decoding: try readFile("/proc/1/limits") ?? [], as: UTF8.self)
        return hardLimit(named: "Max open files", in: limits) ?? Int(clamping: own.rlim_max)
    }
    setrlimit(resource, &own)
    return Int(clamping: most)
}

/// The second figure of a line of `/proc/PID/limits` (proc(5)).
func hardLimit(named name: String, in limits: String) -> Int? {
    for line in limits.split(separator: "\n") where line.hasPrefix(name) {
        let words = line.dropFirst(name.count).split(separator: " ")
        if words.count >= 2 { return Int(words[1]) }
    }
    return nil
}

/// Runs a step on the host's network, with its error in the agent's terms.
private func onNetwork<Value>(
    _ kind: AgentProblem.Kind, _ step: () throws(HostNetworkError) -> Value
) throws(AgentError) -> Value {
    do throws(HostNetworkError) {
        return try step()
    } catch {
        throw AgentError(kind, "\(error)")
    }
}

extension InterfaceName {
    fileprivate static func named(_ text: String) throws(AgentError) -> InterfaceName {
        do throws(InvalidValue) { return try InterfaceName(parsing: text) } catch { throw AgentError(.network, "\(error)") }
    }
}

extension Tunnel {
    static let live = Tunnel(
        ensure: { wanted, lastEndpoints, key, startUserspace throws(AgentError) in
            let name = try InterfaceName.named(RelayWireGuard.interface)
            let prefix: IPPrefix
            do throws(InvalidValue) {
                prefix = try IPPrefix(.v4(wanted.address), length: wanted.network.prefixLength)
            } catch {
                throw AgentError(.badDocument, "\(error)")
            }
            let configuration = WireGuardDeviceConfiguration(
                privateKey: key, listenPort: wanted.listenPort,
                peers: wanted.peers.map {
                    WireGuardPeerConfiguration(
                        publicKey: $0.publicKey, lastEndpoint: lastEndpoints[$0.publicKey],
                        allowedIPs: [IPPrefix(CIDR($0.address))])
                })
            return try withoutActuallyEscaping(startUserspace) { start throws(AgentError) in
                try onNetwork(.wireGuard) { () throws(HostNetworkError) in
                    let device = try WireGuardDevice.open(name, startUserspace: { _ in try start() })
                    let changes = try device.ensureInterface(addresses: [prefix], mtu: UInt32(wanted.mtu))
                    return (device.kind, (changes + (try device.configure(configuration))).map(\.description))
                }
            }
        },
        status: { () throws(AgentError) in
            let name = try InterfaceName.named(RelayWireGuard.interface)
            return try onNetwork(.wireGuard) { () throws(HostNetworkError) in
                let device = try WireGuardDevice.open(name)
                return try device.isPresent() ? (device.kind, try device.status()) : nil
            }
        },
        forget: { peers throws(AgentError) in
            let name = try InterfaceName.named(RelayWireGuard.interface)
            try onNetwork(.wireGuard) { () throws(HostNetworkError) in try WireGuardDevice.open(name).forget(peers) }
        },
        remove: { () throws(AgentError) in
            let name = try InterfaceName.named(RelayWireGuard.interface)
            return try onNetwork(.wireGuard) { () throws(HostNetworkError) in
                try WireGuardDevice.open(name).remove().map(\.description)
            }
        })
}

extension KernelControl {
    static let live = KernelControl(
        setting: { name throws(AgentError) in
            let key = try sysctlKey(name)
            return try onNetwork(.network) { () throws(HostNetworkError) in try Sysctl.read(key) }
        },
        set: { name, value throws(AgentError) in
            let key = try sysctlKey(name)
            _ = try onNetwork(.network) { () throws(HostNetworkError) in try Sysctl.set(key, to: value) }
        },
        offloads: { () throws(AgentError) in
            try onNetwork(.network) { () throws(HostNetworkError) in
                let control = try DeviceOffloads()
                var active: [String: [String]] = [:]
                for device in try NetworkInterfaces().withDefaultRoute() {
                    active[device.description] = try control.active(on: device)
                }
                return active
            }
        },
        setOffloads: { features, isOn, device throws(AgentError) in
            let name = try InterfaceName.named(device)
            try onNetwork(.network) { () throws(HostNetworkError) in
                let control = try DeviceOffloads()
                if isOn { try control.enable(features, on: name) } else { _ = try control.disable(on: name) }
            }
        },
        sockets: { () throws(AgentError) in
            try onNetwork(.network) { () throws(HostNetworkError) in try ListeningSockets.read() }
        },
        inputDrops: { ports throws(AgentError) in try onNetwork(.network) { () throws(HostNetworkError) in try drops(of: ports) }
        },
        owners: { sockets in ListeningSockets.owners(of: sockets).mapValues { "\($0)" } },
        guardTunnel: { wireGuard, user, link throws(AgentError) in
            let wanted = RelayRuleset(
                interface: RelayWireGuard.interface, address: wireGuard.address, network: wireGuard.network, envoyUser: user,
                links: link.map { RelayRuleset.Links(network: LinkedUplink.network, user: $0) })
            return try onNetwork(.network) { () throws(HostNetworkError) in
                try FixedTable.apply(wanted.ruleset).map(\.description)
            }
        },
        unguardTunnel: { () throws(AgentError) in
            try onNetwork(.network) { () throws(HostNetworkError) in try FixedTable.remove(RelayRuleset.table).map(\.description)
            }
        })
}

/// Clients come over IPv4 wherever the host has it: what is closed to IPv6 alone is no obstacle there.
private func drops(of ports: [PublicPort]) throws(HostNetworkError) -> [PublicPort: String] {
    let family = try NetworkInterfaces().hasOnlyIPv6() ? InboundPacket.Family.v6 : .v4
    let found = try InputFirewall.drops(of: ports.map { InboundPacket(family, $0.transport, $0.port) })
    var drops: [PublicPort: String] = [:]
    for port in ports {
        guard let drop = found[InboundPacket(family, port.transport, port.port)] else { continue }
        drops[port] =
            "the host's own firewall drops what comes to \(port) (chain \(drop.chain) of table \(drop.family) \(drop.table)), and "
            + "Tidegate leaves it alone; let it in there, for good: \(drop.remedy)"
    }
    return drops
}

private func sysctlKey(_ name: String) throws(AgentError) -> SysctlKey {
    do throws(InvalidValue) { return try SysctlKey(parsing: name) } catch { throw AgentError(.system, "\(error)") }
}
