import Logging
public import NetworkTypes
import NodeDocument

/// A port that the internet should reach.
public struct PublicPort: Hashable, Sendable, CustomStringConvertible {
    public var transport: TransportProtocol
    public var port: Port

    public init(_ transport: TransportProtocol, _ port: Port) {
        self.transport = transport
        self.port = port
    }

    public var description: String { "\(transport) port \(port)" }
}

/// Whether the host's own firewall lets in what is to come in. It is never touched.
struct FirewallCheck {
    /// Why nothing comes to a port, with what to do; only for the ports that something drops.
    private let drops: [PublicPort: String]

    /// The ports that uplinks dial.
    private let dialed: [PublicPort]

    /// What cannot be read is taken for open: the check tells of obstacles, and makes none.
    init(host: Host, _ content: RelayContent, listeners: [EnvoyListener]) {
        dialed =
            (content.hasWireGuard ? [PublicPort(.udp, content.wireGuard.listenPort)] : [])
            + (content.link?.envoyPort.map { [PublicPort(.tcp, $0)] } ?? [])
        var ports = dialed
        for listener in listeners where listener.address == nil { ports.append(PublicPort(listener.protocol, listener.port)) }
        do throws(AgentError) {
            drops = try host.kernel.inputDrops(ports)
        } catch {
            host.logger.warning("the host's firewall cannot be read", metadata: ["reason": "\(error)"])
            drops = [:]
        }
    }

    /// Why no uplink gets through; nil where the ports that they dial are open.
    var tunnel: String? {
        let words = dialed.compactMap { drops[$0] }
        return words.isEmpty ? nil : words.joined(separator: "; ")
    }

    /// The report of a listener that is active, unless nothing can come to it.
    func report(_ listener: EnvoyListener) -> ListenerReport {
        guard listener.address == nil, let drop = drops[PublicPort(listener.protocol, listener.port)] else {
            return ListenerReport(name: listener.name, state: .active)
        }
        return ListenerReport(name: listener.name, state: .filtered, message: drop)
    }
}
