import CLinuxHeaders
import Glibc
import Netlink
public import NetlinkMessages
public import NetworkTypes
public import RouteNetlink

/// The interfaces of the network namespace that this was made in. One thread at a time may use it.
public final class NetworkInterfaces {
    private let socket: NetlinkSocket

    public init() throws(HostNetworkError) { socket = try openSocket(.route) }

    /// - Returns: nil when there is none of that name.
    public func link(_ name: InterfaceName) throws(HostNetworkError) -> Link? {
        let message = Link.get(name)
        let replies: [NetlinkReply]
        do throws(HostNetworkError) {
            replies = try socket.ask(message)
        } catch {
            if case .netlink(let error) = error, error.errno == ENODEV { return nil }
            throw error
        }
        return try message.parse(replies) { reply throws(MalformedNetlink) in try Link(reply) }.first
    }

    /// The interfaces that a default route of either family leads through, sorted by name.
    public func withDefaultRoute() throws(HostNetworkError) -> [InterfaceName] {
        let numbers = Set(try routes().filter { $0.destination.length == 0 }.compactMap(\.link))
        return try links().filter { numbers.contains($0.index) }.compactMap { InterfaceName($0.name) }.sorted()
    }

    /// Whether there is a default route for IPv6, and none for IPv4.
    public func hasOnlyIPv6() throws(HostNetworkError) -> Bool {
        let defaults = try routes().filter { $0.destination.length == 0 }
        func isIPv4(_ route: Route) -> Bool { if case .v4 = route.destination.address { true } else { false } }
        return !defaults.isEmpty && !defaults.contains(where: isIPv4)
    }

    func ask(_ message: NetlinkMessage) throws(HostNetworkError) -> [NetlinkReply] { try socket.ask(message) }

    func links() throws(HostNetworkError) -> [Link] {
        try socket.read(Link.list()) { reply throws(MalformedNetlink) in try Link(reply) }
    }

    func addresses() throws(HostNetworkError) -> [InterfaceAddress] {
        try socket.read(InterfaceAddress.list()) { reply throws(MalformedNetlink) in try InterfaceAddress(reply) }
    }

    func routes() throws(HostNetworkError) -> [Route] {
        try socket.read(Route.list()) { reply throws(MalformedNetlink) in try Route(reply) }
    }

    /// Makes a link of a kind.
    func create(_ name: InterfaceName, kind: String) throws(HostNetworkError) {
        _ = try socket.ask(Link.create(name, kind: kind))
    }

    /// - Returns: whether there was one.
    @discardableResult
    func delete(_ name: InterfaceName) throws(HostNetworkError) -> Bool {
        guard let link = try link(name) else { return false }
        do throws(HostNetworkError) {
            _ = try socket.ask(link.delete())
        } catch {
            // Gone meanwhile.
            if case .netlink(let error) = error, error.errno == ENODEV { return true }
            throw error
        }
        return true
    }

    /// Gives a link exactly these addresses (link-local IPv6 aside), this MTU and these routes of ours, and sets it up.
    /// - Parameters:
    ///   - mtu: bytes.
    ///   - queueLength: packets; nil leaves it as it is.
    /// - Returns: what was changed; empty when all was as it should be.
    func settle(
        _ name: InterfaceName, addresses wanted: [IPPrefix], mtu: UInt32, queueLength: UInt32? = nil, routes: [CIDR]
    ) throws(HostNetworkError) -> [HostChange] {
        guard let link = try link(name) else { throw .noInterface(name) }
        var changes: [HostChange.Link] = []
        if link.mtu != mtu {
            _ = try socket.ask(link.setMTU(mtu))
            changes.append(.mtu(mtu, was: link.mtu))
        }
        if let queueLength, link.queueLength != queueLength {
            _ = try socket.ask(link.setQueueLength(queueLength))
            changes.append(.queue(queueLength, was: link.queueLength))
        }
        changes += try settleAddresses(wanted, on: link, name)
        if !link.isUp {
            _ = try socket.ask(link.setUp())
            changes.append(.up)
        }
        changes += try settleRoutes(routes, on: link, name)
        return changes.map { .link(name, $0) }
    }

    private func settleAddresses(
        _ wanted: [IPPrefix], on link: Link, _ name: InterfaceName
    ) throws(HostNetworkError) -> [HostChange.Link] {
        var changes: [HostChange.Link] = []
        let present = try addresses().filter { $0.link == link.index }.map(\.prefix)
        for prefix in wanted where !present.contains(prefix) {
            _ = try socket.ask(InterfaceAddress(prefix, on: link.index).add(linkName: name))
            changes.append(.addressAdded(prefix))
        }
        for prefix in present where !wanted.contains(prefix) && !prefix.isLinkLocal {
            do throws(HostNetworkError) {
                _ = try socket.ask(InterfaceAddress(prefix, on: link.index).delete(linkName: name))
            } catch {
                // A secondary address goes with its primary one.
                guard case .netlink(let error) = error, error.errno == EADDRNOTAVAIL else { throw error }
            }
            changes.append(.addressRemoved(prefix))
        }
        return changes
    }

    private func settleRoutes(_ wanted: [CIDR], on link: Link, _ name: InterfaceName) throws(HostNetworkError) -> [HostChange
        .Link]
    {
        var changes: [HostChange.Link] = []
        let all = try routes()
        let present = all.filter { $0.link == link.index }
        for network in wanted where !present.contains(where: { $0.destination == IPPrefix(network) }) {
            do throws(HostNetworkError) {
                _ = try socket.ask(Route(to: network, link: link.index).add(linkName: name))
            } catch {
                guard case .netlink(let error) = error, error.errno == EEXIST,
                    let other = all.first(where: { $0.destination == IPPrefix(network) })?.link
                else { throw error }
                let names = try links().filter { $0.index == other }.map(\.name)
                throw .routeInUse(network, interface: names.first ?? "number \(other)")
            }
            changes.append(.routeAdded(network))
        }
        // Only what has our mark; the kernel's own routes follow the addresses.
        for route in present
        where route.origin == UInt8(RTPROT_STATIC) && !wanted.contains(where: { route.destination == IPPrefix($0) }) {
            _ = try socket.ask(route.delete(linkName: name))
            changes.append(.routeRemoved(route.destination))
        }
        return changes
    }

    /// - Throws: `networkInUse` when another interface has an address inside the network of one of `wanted`, or one whose network holds
    ///   it. Under a wider network an interface that has its address already keeps it: who lives with that shall not lose the tunnel.
    func refuseOverlap(_ wanted: [IPPrefix], except name: InterfaceName) throws(HostNetworkError) {
        let names = Dictionary(try links().map { ($0.index, $0.name) }, uniquingKeysWith: { first, _ in first })
        let all = try addresses()
        let own = Set(all.filter { names[$0.link] == name.description }.map(\.prefix))
        for other in all {
            guard let interface = names[other.link], interface != name.description else { continue }
            for prefix in wanted {
                let isWider = other.prefix.length >= 8 && other.prefix.holds(prefix) && !own.contains(prefix)
                guard isWider || prefix.holds(other.prefix) else { continue }
                throw .networkInUse(prefix, interface: interface, address: other.prefix)
            }
        }
    }
}

extension NetworkInterfaces {
    /// Those of the networks that may be reached through an interface: none that lies within a network which this host is in by another, and
    /// would lose parts of, and none that it has a route to already.
    /// - Returns: the others with the reason, each in words.
    public func usable(_ networks: [CIDR], besides name: InterfaceName) throws(HostNetworkError) -> (
        used: [CIDR], leftOut: [String]
    ) {
        let names = Dictionary(try links().map { ($0.index, $0.name) }, uniquingKeysWith: { first, _ in first })
        let others = try addresses().filter { names[$0.link] != name.description }
        let ways = try routes().filter { $0.link.map { names[$0] } != name.description }
        var (used, leftOut): ([CIDR], [String]) = ([], [])
        for network in networks {
            if let own = others.first(where: { $0.prefix.holds(IPPrefix(network)) }) {
                leftOut.append("\(network) lies within \(own.prefix) of interface \(names[own.link] ?? "?"), and would cut it")
            } else if let way = ways.first(where: { $0.destination == IPPrefix(network) }) {
                leftOut.append("\(network) has a route by interface \(way.link.flatMap { names[$0] } ?? "?") already")
            } else {
                used.append(network)
            }
        }
        return (used, leftOut)
    }
}

extension IPPrefix {
    /// fe80::/10 (RFC 4291, section 2.5.6).
    var isLinkLocal: Bool {
        guard case .v6(let address) = address else { return false }
        return address.bytes[0] == 0xFE && address.bytes[1] & 0xC0 == 0x80
    }

    /// Whether `other` is a network inside this one's, or the same.
    func holds(_ other: IPPrefix) -> Bool {
        let (mine, others) = (address.bytes, other.address.bytes)
        guard mine.count == others.count, other.length >= length else { return false }
        return (0..<length).allSatisfy { bit in (mine[bit / 8] ^ others[bit / 8]) & (0x80 >> UInt8(bit % 8)) == 0 }
    }
}
