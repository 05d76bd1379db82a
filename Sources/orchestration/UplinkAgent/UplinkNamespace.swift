import Glibc
import HostNetwork
import NFTables
import NetlinkMessages
import NetworkTypes
import NodeDocument
import Synchronization
import Syscalls
import WireGuardNetlink

/// The network namespace this process runs in, as the keeper works on it.
final class UplinkNamespace: Sendable {
    private let bridge: UplinkRuleset.BridgeScope
    private let wireguardGo: [WireGuardGo.Program]
    private let state = Mutex(State())

    private struct State {
        var table: NATTable?
        var device: WireGuardDevice?
        /// Whether forwarding was off before us; nil until it was looked at.
        var turnedForwardingOn: Bool?
        /// The interfaces it was turned on for one by one, in a container.
        var forwardingInterfaces: Set<InterfaceName> = []
        /// Whether the setting of the whole host is out of reach, as in a container.
        var forwardsByInterface = false
        var probe: PathProbe?
        /// Of conntrack's limit; nil while we left it alone.
        var formerTracking: SysctlChange?
    }

    /// - Parameter wireguardGo: those to choose the newest of.
    init(bridge: UplinkRuleset.BridgeScope, wireguardGo: [WireGuardGo.Program]) {
        self.bridge = bridge
        self.wireguardGo = wireguardGo
    }

    var host: UplinkHost {
        UplinkHost(
            settle: { part, endpoint throws(UplinkError) in try self.settle(part, endpoint) },
            obstacles: { () throws(UplinkError) in try self.obstacles() },
            status: { () throws(UplinkError) in try self.status() },
            renew: { peer throws(UplinkError) in try self.renew(peer) },
            speak: { PathProbe(to: $0)?.send(1) },
            probe: { relay, bytes in
                self.state.withLock { state in
                    state.probe = PathProbe(to: relay)
                    state.probe?.send(bytes - PathProbe.headers)
                }
            },
            probeArrived: { self.state.withLock { $0.probe?.hasArrived ?? false } },
            widenTracking: { flows throws(UplinkError) in try self.widenTracking(flows) },
            remove: { self.remove() })
    }

    private func settle(_ part: UplinkPart, _ endpoint: WireGuardEndpoint?) throws(UplinkError) -> [HostChange] {
        try state.withLock { state throws(UplinkError) in
            let table = try Self.table(&state)
            let onlyOurs = try Self.turnedForwardingOn(&state, table)
            // The table first: nothing may come through the tunnel that it does not watch.
            var changes = try inHostTerms { () throws(HostNetworkError) in
                try table.apply(part.ruleset(bridge: bridge, forwardsNothingElse: onlyOurs))
            }
            let device = try self.device(&state)
            do throws(HostNetworkError) {
                changes += try device.ensureInterface(
                    addresses: [part.prefix], mtu: UInt32(part.mtu))
                changes += try device.configure(part.wireGuard(endpoint: endpoint))
            } catch {
                // The next attempt looks for it anew: its kind may be another by then.
                state.device = nil
                throw UplinkError.host(cause: "\(error)")
            }
            return changes + (try Self.turnForwardingOn(&state))
        }
    }

    private func obstacles() throws(UplinkError) -> [UplinkHost.Obstacle] {
        try state.withLock { state throws(UplinkError) in
            let table = try Self.table(&state)
            let chains = try inHostTerms { () throws(HostNetworkError) in try table.foreignForwardDrops() }
            return chains.map { .firewall(chain: $0) }
        }
    }

    private func status() throws(UplinkError) -> UplinkHost.Status {
        try state.withLock { state throws(UplinkError) in
            let device = try self.device(&state)
            let status = try inHostTerms { () throws(HostNetworkError) in try device.status() }
            let table = try Self.table(&state)
            let isTouched = try inHostTerms { () throws(HostNetworkError) in
                if try table.isTouched() { return true }
                if state.forwardsByInterface { return false }
                return try !Forwarding.isOn()
            }
            return UplinkHost.Status(
                kind: device.kind, device: status, tracking: Self.tracking(), isTouched: isTouched)
        }
    }

    private func renew(_ peer: WireGuardPeerStatus) throws(UplinkError) {
        try state.withLock { state throws(UplinkError) in
            let device = try self.device(&state)
            try inHostTerms { () throws(HostNetworkError) in try device.forget([peer]) }
        }
    }

    private static func tracking() -> TrackingRoom.Look {
        let counters = TrackingRoom.counters((try? DocumentFile.readText(path: "/proc/net/stat/nf_conntrack")) ?? "")
        return TrackingRoom.Look(
            flows: number("net.netfilter.nf_conntrack_count"), limit: number(trackingLimit), evicted: counters.evicted,
            dropped: counters.dropped)
    }

    private static let trackingLimit = "net.netfilter.nf_conntrack_max"

    private func widenTracking(_ flows: Int) throws(UplinkError) {
        try state.withLock { state throws(UplinkError) in
            let change = try inHostTerms { () throws(HostNetworkError) in
                try SysctlKey(Self.trackingLimit).flatMap { key throws(HostNetworkError) in try Sysctl.raise(key, to: flows) }
            }
            // What stood before the first of our changes. After SIGKILL nobody knows it; a large table that is empty costs nothing.
            if let change, state.formerTracking == nil { state.formerTracking = change }
        }
    }

    private func remove() -> (changes: [HostChange], failures: [UplinkError]) {
        state.withLock { state in
            var changes: [HostChange] = []
            var failures: [UplinkError] = []
            func attempt(_ body: () throws(UplinkError) -> [HostChange]) {
                do throws(UplinkError) { changes += try body() } catch { failures.append(error) }
            }
            attempt { () throws(UplinkError) in
                let device = try self.device(&state)
                return try inHostTerms { () throws(HostNetworkError) in try device.remove() }
            }
            attempt { () throws(UplinkError) in
                let table = try Self.table(&state)
                guard try Self.turnedForwardingOn(&state, table) else { return [] }
                let interfaces = state.forwardingInterfaces.sorted()
                return try inHostTerms { () throws(HostNetworkError) in
                    try NetworkInterfaces().turnForwardingOff(interfaces)
                    return try Forwarding.turnOff().map { [.setting($0)] } ?? []
                        + interfaces.map { .link($0, .forwarding(false)) }
                }
            }
            attempt { () throws(UplinkError) in
                guard let former = state.formerTracking else { return [] }
                return try inHostTerms { () throws(HostNetworkError) in
                    try Sysctl.set(former.key, to: former.former).map { [.setting($0)] } ?? []
                }
            }
            attempt { () throws(UplinkError) in
                let table = try Self.table(&state)
                return try inHostTerms { () throws(HostNetworkError) in try table.remove() }
            }
            return (changes, failures)
        }
    }

    // MARK: Parts

    private static func table(_ state: inout State) throws(UplinkError) -> NATTable {
        if let table = state.table { return table }
        let table = try inHostTerms { () throws(HostNetworkError) in try NATTable() }
        state.table = table
        return table
    }

    private func device(_ state: inout State) throws(UplinkError) -> WireGuardDevice {
        if let device = state.device { return device }
        let programs = wireguardGo
        let device = try inHostTerms { () throws(HostNetworkError) in
            try WireGuardDevice.open(
                Self.interface(),
                startUserspace: programs.isEmpty
                    ? nil
                    : { interface in
                        if let program = WireGuardGo.newest(of: programs) { try WireGuardGo.start(program, interface: interface) }
                    })
        }
        state.device = device
        return device
    }

    /// Whether forwarding is on only because of us: it was off, or a table that we left (killed before we could put things
    /// back) says so.
    private static func turnedForwardingOn(_ state: inout State, _ table: NATTable) throws(UplinkError) -> Bool {
        if let known = state.turnedForwardingOn { return known }
        let answer = try inHostTerms { () throws(HostNetworkError) in
            let left = try table.forwardsNothingElse()
            return try !Forwarding.isOn() || left
        }
        state.turnedForwardingOn = answer
        return answer
    }

    private static func turnForwardingOn(_ state: inout State) throws(UplinkError) -> [HostChange] {
        do throws(HostNetworkError) {
            let forwarding = try Forwarding.turnOn()
            if case .byInterface(let changed) = forwarding {
                state.forwardsByInterface = true
                state.forwardingInterfaces.formUnion(changed)
            }
            return forwarding.changes
        } catch {
            throw .forwardingOff(reason: "\(error)")
        }
    }

    /// A setting that is only looked at: nil too where it cannot be read.
    private static func number(_ key: String) -> Int? {
        do throws(HostNetworkError) {
            return try SysctlKey(key).flatMap { key throws(HostNetworkError) in try Sysctl.read(key) }.flatMap { Int($0) }
        } catch {
            return nil
        }
    }

    private static func interface() throws(HostNetworkError) -> InterfaceName {
        guard let name = InterfaceName(UplinkContent.interface) else {
            throw .system(attempt: "name \(UplinkContent.interface)", errno: EINVAL)
        }
        return name
    }
}

private func inHostTerms<Result>(_ body: () throws(HostNetworkError) -> Result) throws(UplinkError) -> Result {
    do throws(HostNetworkError) {
        return try body()
    } catch {
        throw .host(cause: "\(error)")
    }
}
