import LinkProtocol
import NFTables
import NetworkTypes
import NodeDocument

/// Where the streams of links lead. A stream is asked for once, when it begins: what changes later leaves it where it is, as conntrack
/// leaves a connection of the tunnel.
struct LinkForwards: Sendable {
    enum Destination: Equatable, Sendable {
        case target(Endpoint)
        case host(RelayedHost)
        /// This uplink's own status.
        case status
    }

    private var targets: [ForwardKey: [Endpoint]] = [:]
    private var hosts: [ForwardKey: RelayedHost] = [:]

    init() {}

    /// The first of two forwards of one port has it, as in the tunnel.
    init(_ content: UplinkContent) {
        targets.reserveCapacity(content.forwards.count)
        hosts = content.hosts
        for forward in content.forwards {
            let key = ForwardKey(forward.protocol, forward.tunnelPort)
            if targets[key] == nil { targets[key] = forward.targets }
        }
    }

    /// - Parameter chance: 0 up to 1, which picks among several endpoints. A UDP session is one stream, and stays with one.
    func destination(of header: StreamHeader, chance: Double) -> Destination? {
        guard let port = try? Port(header.tunnelPort) else { return nil }
        if header.kind == .tcp, port == .uplinkReadiness { return .status }
        let key = ForwardKey(header.kind == .tcp ? .tcp : .udp, port)
        guard let endpoints = targets[key] else { return nil }
        if endpoints.isEmpty { return hosts[key].map { .host($0) } }
        return .target(endpoints[min(endpoints.count - 1, Int(chance * Double(endpoints.count)))])
    }
}
