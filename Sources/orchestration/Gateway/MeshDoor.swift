import LinkStreams
import NIOCore
import NIOPosix
import NetworkTypes

/// Where what this pod's WireGuard sends goes into a link: one flow at a time, of the best link that takes it. On one event loop.
final class MeshDoor {
    private let loop: any EventLoop
    private let link: (_ isPreferred: (LinkConnection) -> Bool) -> LinkConnection?
    private let isUsable: (LinkConnection) -> Bool
    private var way: (flow: any UDPFlow, link: LinkConnection)?
    /// Links whose other end ended a flow without a word: of remotes that are not in the mesh.
    private var refusing: [Refusing] = []
    private struct Refusing { weak var link: LinkConnection? }
    /// Why it is not open; nil where it is.
    private(set) var trouble: String?

    private static let retry = TimeAmount.seconds(5)
    /// Bytes of a read: many datagrams.
    private static let longest = 65_536

    /// - Parameters:
    ///   - link: the one to use now, one that is preferred where there is any; nil for none.
    ///   - isUsable: whether a link is as good as any.
    init(
        on loop: any EventLoop, link: @escaping ((LinkConnection) -> Bool) -> LinkConnection?,
        isUsable: @escaping (LinkConnection) -> Bool
    ) {
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
        guard source.port == Int(Port.mesh.number), let link = best else { return nil }
        var hasAnswered = false
        let flow = try? link.openFlow(
            tunnelPort: Port.mesh.number,
            deliver: {
                hasAnswered = true
                deliver($0)
            },
            over: { [weak self] in
                if let self, self.way?.link === link { self.way = nil }
                if !hasAnswered { self?.remember(link) }
                over()
            })
        way = flow.map { ($0, link) }
        return flow
    }

    private var best: LinkConnection? { link { link in !refusing.contains { $0.link === link } } }

    private func remember(_ link: LinkConnection) {
        refusing.removeAll { $0.link == nil || $0.link === link }
        refusing.append(Refusing(link: link))
    }

    /// Leaves a link that takes nothing new or does not answer: the next datagram goes by another.
    func sweep() {
        guard let way, !isUsable(way.link) else { return }
        if way.link.mayOpen, best === way.link { return }
        way.flow.close()
    }
}
