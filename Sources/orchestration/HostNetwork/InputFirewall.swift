public import HostFirewall
import Netlink
import NetlinkMessages

/// The firewall of this network namespace, whosever it is; only ever read.
public enum InputFirewall {
    /// Which of these packets are dropped before they reach their port, and where.
    public static func drops(of packets: [InboundPacket]) throws(HostNetworkError) -> [InboundPacket: InputDrop] {
        do throws(NetlinkError) {
            let socket = try NetlinkSocket(.netfilter)
            return try read(socket, packets)
        } catch {
            throw .netlink(error)
        }
    }

    private static func read(
        _ socket: NetlinkSocket, _ packets: [InboundPacket]
    ) throws(NetlinkError) -> [InboundPacket: InputDrop] {
        let chains = try socket.dump(HostRuleset.chainsQuery)
        let hooks = try reading(HostRuleset.chainsQuery) { () throws(MalformedNetlink) in try HostRuleset(chains: chains) }
        guard hooks.hasInputChains else { return [:] }
        let rules = try socket.dump(HostRuleset.rulesQuery)
        let sets = try socket.dump(HostRuleset.setsQuery)
        let queries = try reading(HostRuleset.setsQuery) { () throws(MalformedNetlink) in
            try HostRuleset.elementQueries(sets: sets)
        }
        var elements: [NetlinkReply] = []
        for query in queries {
            // A set that is gone meanwhile has none.
            do throws(NetlinkError) { elements += try socket.dump(query) } catch {}
        }
        let ruleset = try reading(HostRuleset.rulesQuery) { () throws(MalformedNetlink) in
            try HostRuleset(chains: chains, rules: rules, sets: sets, elements: elements)
        }
        var drops: [InboundPacket: InputDrop] = [:]
        for packet in packets { drops[packet] = ruleset.drop(of: packet) }
        return drops
    }
}
