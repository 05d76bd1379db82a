public import LinkCarriers
import NIOCore
import SSH

/// Links through the edge's sshd.
public enum SSHCarrier {
    /// Logs in on a channel that leads to an sshd, and opens the socket.
    public static let opening: SSHOpening = { edge, channel in
        guard let hostKey = HostKey(text: edge.hostKey) else {
            throw LinkCarrierError(.hostKey("\(edge)"), cause: "the one that is to be shown is none")
        }
        let opened = channel.eventLoop.makePromise(of: Void.self)
        do {
            let target = SocketTunnel.Target(
                user: edge.user, socket: edge.socket, hostKey: hostKey, host: edge.host, port: edge.port)
            let tunnel = try SocketTunnel(target, key: edge.key)
            try channel.pipeline.syncOperations.addHandler(TunnelBytes(tunnel, edge: "\(edge)", opened: opened))
        } catch let error as SSHError {
            opened.fail(LinkCarrierError(error, by: "\(edge)"))
        } catch {
            opened.fail(error)
        }
        return opened.futureResult
    }
}

extension LinkCarrierError {
    init(_ error: SSHError, by edge: String) {
        switch error.reason {
        case .hostKeyChanged(let shown, _, let pinned):
            self.init(.hostKey(edge), cause: "it shows \(shown), not \(pinned.map { "\($0.key)" }.joined(separator: ", "))")
        case .channelRefused(_, let words): self.init(.sshSocket(edge), cause: words)
        case .authenticationRefused:
            self.init(.ssh(edge), cause: "the key is not taken")
            isRefusedLogin = true
        default: self.init(.ssh(edge), cause: "\(error.reason)")
        }
    }
}
