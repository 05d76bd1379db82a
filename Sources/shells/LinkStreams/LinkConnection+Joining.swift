public import LinkProtocol
public import NIOCore
public import NIOPosix

/// What the edge does with a link: opens streams for what it accepted.
extension LinkConnection {
    /// Joins an accepted connection, which `ServerBootstrap.forStreams` set up, and a new stream. On the event loop of both.
    public func join(_ channel: any Channel, tunnelPort: UInt16) throws {
        var joined: TCPEnd?
        let id = try open(StreamHeader(.tcp, tunnelPort: tunnelPort)) { id in
            let end = TCPEnd(self, id)
            joined = end
            return end
        }
        guard let joined else { return }
        do {
            try channel.pipeline.syncOperations.addHandler(joined)
        } catch {
            reset(id)
            throw error
        }
    }

    /// Opens a flow for a UDP session. On the link's event loop, as what `deliver` and `over` do.
    public func openFlow(
        tunnelPort: UInt16, deliver: @escaping (ByteBuffer) -> Void, over: @escaping () -> Void
    ) throws(LinkSession.Refusal) -> DatagramFlow {
        var opened: DatagramFlow?
        let id = try open(StreamHeader(.udp, tunnelPort: tunnelPort)) { id in
            let flow = DatagramFlow(self, id, deliver: deliver, over: over)
            opened = flow
            return flow
        }
        guard let opened else {
            reset(id)
            throw .full
        }
        return opened
    }

    /// Closes a connection so that its other end sees a reset.
    public static func abort(_ channel: any Channel) { TCPEnd.abort(channel) }
}

extension ServerBootstrap {
    /// As a stream wants the TCP connections that it accepts.
    public func forStreams() -> ServerBootstrap {
        childChannelOption(.autoRead, value: false)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.recvAllocator, value: StreamBuffers())
            .childChannelOption(.maxMessagesPerRead, value: 1)
    }
}
