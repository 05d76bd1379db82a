import Glibc
import HostFirewall
public import NFTables
import Netlink
import NetlinkMessages
import NetworkTypes

/// The table `ip tidegate` of the network namespace that this was made in. One thread at a time may use it.
///
/// Each `apply` compares what the kernel holds with what is wanted and sends the difference as one transaction; where
/// nothing of nf_tables has changed since the last time, one question tells.
public final class NATTable {
    private let socket: NetlinkSocket
    private var known: Known?
    /// Flows that stick to a target of before may be left from an apply that failed half-way.
    private var owesFlowSweep = false

    private struct Known {
        var generation: UInt32
        var state: RulesetState
    }

    public init() throws(HostNetworkError) { socket = try openSocket(.netfilter) }

    /// Makes the table what `wanted` says, then forgets the UDP flows that would stick to a former target.
    /// - Returns: what was changed; empty when all was as it should be.
    public func apply(_ wanted: UplinkRuleset) throws(HostNetworkError) -> [HostChange] {
        var changes: [HostChange] = []
        let kind = try inOurTerms { () throws(NetlinkError) in try change(to: wanted) }
        if kind != .none {
            changes.append(.ruleset(kind))
            owesFlowSweep = owesFlowSweep || kind.concernsUDP
        }
        if owesFlowSweep {
            let count = try inOurTerms { () throws(NetlinkError) in try forgetStaleFlows(wanted) }
            if count > 0 { changes.append(.flowsForgotten(count)) }
            owesFlowSweep = false
        }
        return changes
    }

    /// Whether the kernel's rules, ours or another's, were changed since the last `apply`. One question to the kernel.
    public func isTouched() throws(HostNetworkError) -> Bool {
        try inOurTerms { () throws(NetlinkError) in try socket.rulesGeneration() != known?.generation }
    }

    /// Whether a table is there that lets nothing but our flows be forwarded; see `UplinkRuleset.forwardsNothingElse`.
    public func forwardsNothingElse() throws(HostNetworkError) -> Bool {
        try inOurTerms { () throws(NetlinkError) in try present().state.forwardsNothingElse }
    }

    /// Chains of others that drop forwarded packets they do not know, as `TABLE CHAIN`: see `HostRuleset`.
    public func foreignForwardDrops() throws(HostNetworkError) -> [String] {
        try inOurTerms { () throws(NetlinkError) in
            let replies = try socket.dump(HostRuleset.chainsQuery)
            let ruleset = try reading(HostRuleset.chainsQuery) { () throws(MalformedNetlink) in try HostRuleset(chains: replies) }
            return ruleset.forwardDrops(besides: UplinkRuleset.table)
        }
    }

    /// Removes the table, if there is one.
    /// - Returns: what was changed.
    public func remove() throws(HostNetworkError) -> [HostChange] {
        known = nil
        let isGone = try inOurTerms { () throws(NetlinkError) in
            try retrying { () throws(NetlinkError) in
                let generation = try socket.rulesGeneration()
                guard try !socket.table(RulesetQueries.table()).isEmpty else { return false }
                try socket.transact(RulesetChange.removal(generation: generation))
                return true
            }
        }
        return isGone ? [.rulesetRemoved(table: UplinkRuleset.table)] : []
    }

    // MARK: The ruleset

    private func change(to wanted: UplinkRuleset) throws(NetlinkError) -> RulesetChange.Kind {
        try retrying { () throws(NetlinkError) in
            let present = try self.present()
            let change = RulesetChange(from: present.state, to: wanted)
            known = present
            if change.kind == .none { return .none }
            known = nil
            try socket.transact(change.transaction(generation: present.generation))
            if case .update = change.kind {
                // The next transaction of anyone has the number after ours.
                known = Known(generation: present.generation &+ 1, state: present.state.updated(to: wanted))
            }
            return change.kind
        }
    }

    private func present() throws(NetlinkError) -> Known {
        let generation = try socket.rulesGeneration()
        if let known, known.generation == generation { return known }
        let table = try socket.table(RulesetQueries.table())
        if table.isEmpty { return Known(generation: generation, state: RulesetState()) }
        let chains = try socket.dump(RulesetQueries.chains())
        let rules = try socket.dump(RulesetQueries.rules())
        let maps = try socket.dump(RulesetQueries.maps())
        let haveMaps = try reading(RulesetQueries.maps()) { () throws(MalformedNetlink) in
            try RulesetState.mapsAreThere(in: maps)
        }
        var elements: [NetlinkReply] = []
        for query in haveMaps ? RulesetQueries.elements : [] { elements += try socket.dump(query) }
        let state = try reading(RulesetQueries.rules()) { () throws(MalformedNetlink) in
            try RulesetState(table: table, chains: chains, rules: rules, maps: maps, elements: elements)
        }
        return Known(generation: generation, state: state)
    }

    // MARK: Flows

    private func forgetStaleFlows(_ wanted: UplinkRuleset) throws(NetlinkError) -> Int {
        let replies = try socket.dump(TrackedFlow.query)
        let flows = try reading(TrackedFlow.query) { () throws(MalformedNetlink) in try TrackedFlow.flows(in: replies) }
        let stale = TrackedFlow.stale(
            flows, to: wanted.address, forwards: wanted.forwards, spreads: wanted.spreads)
        for flow in stale {
            do throws(NetlinkError) {
                try socket.request(flow.deletion)
            } catch  where error.errno == ENOENT {}
        }
        return stale.count
    }
}

private func inOurTerms<Result>(_ body: () throws(NetlinkError) -> Result) throws(HostNetworkError) -> Result {
    do throws(NetlinkError) {
        return try body()
    } catch {
        throw .netlink(error)
    }
}
