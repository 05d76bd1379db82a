import NetworkTypes
import NodeDocument
import RouteNetlink

/// Whose the listeners' ports are.
struct PortCheck {
    /// Listeners whose port Envoy has.
    private(set) var bound: Set<String> = []
    /// Listeners whose port somebody else has, and one socket that has it.
    private(set) var taken: [String: BoundSocket] = [:]

    /// - Parameter envoy: the user that Envoy alone runs as; nil when there is none yet.
    init(_ listeners: [EnvoyListener], sockets: [BoundSocket], envoy: UInt32?) {
        var byPort: [PortKey: [BoundSocket]] = [:]
        for socket in sockets { byPort[PortKey(transport: socket.transport, port: socket.port), default: []].append(socket) }
        for listener in listeners {
            let holders = (byPort[PortKey(transport: listener.protocol, port: listener.port)] ?? []).filter { socket in
                // A public listener takes every address; the bridge only its own. A client's connected socket is gone soon.
                !socket.isConnected && (listener.address == nil || Self.overlaps(socket.address, listener.address))
            }
            if holders.contains(where: { $0.uid == envoy }) {
                bound.insert(listener.name)
            } else if let foreign = holders.first {
                taken[listener.name] = foreign
            }
        }
    }

    private struct PortKey: Hashable {
        var transport: TransportProtocol
        var port: Port
    }

    private static func overlaps(_ held: IPAddress, _ wanted: IPv4Address?) -> Bool {
        switch held {
        case .v4(let address): address == wanted || address.number == 0
        case .v6(let address): address.bytes.allSatisfy { $0 == 0 }
        }
    }

    /// For people: which process to stop, or which port to choose instead.
    static func message(_ listener: EnvoyListener, _ socket: BoundSocket, owner: String?) -> String {
        let holder = owner ?? (socket.inode == 0 ? "the kernel" : "a process of user id \(socket.uid)")
        return "\(listener.protocol) port \(listener.port) is taken on the host by \(holder) at \(place(socket)); "
            + "stop it there, or choose another listenPort"
    }

    /// The same of the tunnel's port.
    static func tunnelMessage(_ socket: BoundSocket, owner: String?) -> String {
        let kernel = "the kernel, as another WireGuard interface is (see wg show)"
        let holder = owner ?? (socket.inode == 0 ? kernel : "a process of user id \(socket.uid)")
        return
            "UDP port \(socket.port), the tunnel's, is taken on the host by \(holder) at \(place(socket)); stop it there, or set "
            + "spec.tunnel.listenPort of the EdgeNode to another port"
    }

    private static func place(_ socket: BoundSocket) -> String {
        if case .v6(let address) = socket.address { "[\(address)]:\(socket.port)" } else { "\(socket.address):\(socket.port)" }
    }
}
