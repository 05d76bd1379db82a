import LinkStreams
import NIOCore
import NIOPosix
import NetworkTypes

/// Where what this pod's WireGuard sends goes into a link: one flow at a time, of the best link. On one event loop.
final class MeshDoor {
    private let loop: any EventLoop
    private let link: () -> LinkConnection?
    private let isUsable: (LinkConnection) -> Bool
    private var way: (flow: any UDPFlow, link: LinkConnection)?
    /// Why it is not open; nil where it is.
    private(set) var trouble: String?

    private static let retry = TimeAmount.seconds(5)
    /// Bytes of a read: many datagrams.
    private static let longest = 65_536

    /// - Parameters:
    ///   - link: the one to use now; nil for none.
    ///   - isUsable: whether a link is as good as any.
    init(on loop: any EventLoop, link: @escaping () -> LinkConnection?, isUsable: @escaping (LinkConnection) -> Bool) {
        self.loop = loop
        self.link = link
        self.isUsable = isUsable
    }

    func open() {
        let bound = NIOLoopBound(self, eventLoop: loop)
        DatagramBootstrap(group: loop)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: Self.longest))
            .offloading(DatagramOffload.isSupported)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let sessions = UDPSessions(offloads: DatagramOffload.isSupported) {
                        bound.value.flow(from: $0, deliver: $1, over: $2)
                    }
                    try channel.pipeline.syncOperations.addHandler(sessions)
                }
            }
            .bind(host: "127.0.0.1", port: Int(Port.meshDoor.number))
            .whenComplete { result in
                guard case .failure(let error) = result else { return bound.value.trouble = nil }
                bound.value.trouble = "127.0.0.1:\(Port.meshDoor): \(error)"
                bound.value.loop.scheduleTask(in: Self.retry) { bound.value.open() }
            }
    }

    private func flow(
        from source: SocketAddress, deliver: @escaping (ByteBuffer) -> Void, over: @escaping () -> Void
    ) -> (any UDPFlow)? {
        guard source.port == Int(Port.mesh.number), let link = link() else { return nil }
        let flow = try? link.openFlow(tunnelPort: Port.mesh.number, deliver: deliver) { [weak self] in
            if let self, self.way?.link === link { self.way = nil }
            over()
        }
        way = flow.map { ($0, link) }
        return flow
    }

    /// Leaves a link that takes nothing new or does not answer: the next datagram goes by another.
    func sweep() {
        guard let way, !isUsable(way.link) else { return }
        if way.link.mayOpen, link() === way.link { return }
        way.flow.close()
    }
}
