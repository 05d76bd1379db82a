public import NFTables
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
        do throws(MalformedNetlink) {
            guard try HostRuleset.hasInputChains(chains) else { return [:] }
        } catch {
            throw NetlinkError(request: "\(HostRuleset.chainsQuery)", cause: .malformed(error))
        }
        let rules = try socket.dump(HostRuleset.rulesQuery)
        let sets = try socket.dump(HostRuleset.setsQuery)
        do throws(MalformedNetlink) {
            var elements: [NetlinkReply] = []
            for query in try HostRuleset.elementQueries(sets: sets) {
                // A set that is gone meanwhile has none.
                do throws(NetlinkError) { elements += try socket.dump(query) } catch {}
            }
            let ruleset = try HostRuleset(chains: chains, rules: rules, sets: sets, elements: elements)
            var drops: [InboundPacket: InputDrop] = [:]
            for packet in packets { drops[packet] = try ruleset.drop(of: packet) }
            return drops
        } catch {
            throw NetlinkError(request: "\(HostRuleset.rulesQuery)", cause: .malformed(error))
        }
    }
}
