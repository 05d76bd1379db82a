import LinkStreams
import Logging
import NIOCore
import NetworkTypes
import RemoteDocuments
import Sodium
import TunnelProtocols

/// What clients of rathole are to this gateway: a control connection for each port, by which data connections are asked for. On the gateway's
/// event loop.
final class RatholeClients {
    /// Data connections that wait for visitors, as rathole's server has them; each that is taken is asked for anew.
    private static func pool(of transport: TransportProtocol) -> Int { transport == .tcp ? 8 : 2 }
    /// More that come unasked are closed.
    private static let mostParked = 64
    private static let heartbeat = TimeAmount.seconds(30)

    private let logger: Logger
    private var sessions: [RemotePort.Key: Session] = [:]
    /// Told when there is a client for a port, or none any more.
    var changed: () -> Void = {}

    init(logger: Logger) { self.logger = logger }

    func serve(_ key: RemotePort.Key) -> Bool { sessions[key] != nil }

    /// No more visitors of ports but these; what is joined goes on.
    func keep(_ keys: Set<RemotePort.Key>) {
        for (key, session) in sessions where !keys.contains(key) {
            sessions[key] = nil
            session.end()
        }
    }

    /// The control connections end, so that clients come back to the next gateway.
    func leave() { keep([]) }

    /// Sends away who has waited too long; to be called each second or so.
    func sweep() { for session in sessions.values { session.sweep() } }

    // MARK: clients

    /// A client that has the token: it replaces another of the same port.
    func began(_ key: RemotePort.Key, session bytes: [UInt8], on control: any Channel) {
        let session = Session(key, id: bytes, control: control)
        sessions.updateValue(session, forKey: key)?.end()
        logger.info("a client of rathole is there", metadata: ["port": "\(key)"])
        let bound = NIOLoopBound((self, session), eventLoop: control.eventLoop)
        let beat = control.eventLoop.scheduleRepeatedTask(initialDelay: Self.heartbeat, delay: Self.heartbeat) { _ in
            control.writeAndFlush(ByteBuffer(bytes: Rathole.heartbeat), promise: nil)
        }
        control.closeFuture.whenComplete { _ in
            beat.cancel()
            let (clients, session) = bound.value
            session.end()
            guard clients.sessions[key] === session else { return }
            clients.sessions[key] = nil
            clients.logger.info("a client of rathole is gone", metadata: ["port": "\(key)"])
            clients.changed()
        }
        session.ask(for: Self.pool(of: key.protocol))
        changed()
    }

    /// A data connection by the key of a session; nil where there is none of that key.
    func session(of id: [UInt8]) -> Session? {
        // Digests of both: their comparison tells nothing.
        let wanted = SHA256.digest(of: id)
        return sessions.values.first { SHA256.digest(of: $0.id) == wanted }
    }

    // MARK: visitors

    /// - Returns: false where there is no client.
    func take(_ visitor: HeldConnection, of key: RemotePort.Key) -> Bool { sessions[key]?.take(visitor) ?? false }

    /// Nil where there is no client, or the visitor has no address.
    func flow(
        of key: RemotePort.Key, from source: SocketAddress, deliver: @escaping (ByteBuffer) -> Void, over: @escaping () -> Void
    ) -> (any UDPFlow)? {
        sessions[key]?.flow(from: source, deliver: deliver, over: over)
    }

    // MARK: one client

    private struct Visitor: Hashable {
        let address: IPAddress
        let port: UInt16
    }

    final class Session {
        let key: RemotePort.Key
        let id: [UInt8]
        private let control: any Channel
        /// Data connections that wait.
        private var parked = CircularBuffer<RatholeConnection>()
        private var visitors = VisitorQueue<HeldConnection>()
        private var flows: [Visitor: Flow] = [:]
        private var datagrams: (any Channel)?
        private var isOver = false
        private var lastAsked = NIODeadline.now()

        /// After a data connection that was asked for did not come, while datagrams wait for one.
        private static let retry = TimeAmount.seconds(5)
        /// Visitors whose first datagrams are kept.
        private static let mostWithEarly = 256

        fileprivate init(_ key: RemotePort.Key, id: [UInt8], control: any Channel) {
            self.key = key
            self.id = id
            self.control = control
        }

        fileprivate func ask(for count: Int) {
            lastAsked = .now()
            for _ in 0..<count { control.write(ByteBuffer(bytes: Rathole.createDataChannel), promise: nil) }
            control.flush()
        }

        fileprivate func end() {
            guard !isOver else { return }
            isOver = true
            control.close(promise: nil)
            for connection in parked { connection.close() }
            parked = []
            while let visitor = visitors.next() { visitor.abort() }
            for flow in flows.values { flow.close() }
            datagrams?.close(promise: nil)
        }

        fileprivate func sweep() {
            for visitor in visitors.expired() { visitor.abort() }
            if key.protocol == .udp, datagrams == nil, !flows.isEmpty, lastAsked + Self.retry < .now() { ask(for: 1) }
        }

        /// - Returns: false where it is not wanted.
        func park(_ connection: RatholeConnection) -> Bool {
            guard !isOver else { return false }
            if key.protocol == .udp, datagrams == nil, !flows.isEmpty {
                carryDatagrams(by: connection)
                return true
            }
            while let visitor = visitors.next() {
                guard visitor.channel.isActive else { continue }
                connection.start(joining: visitor)
                return true
            }
            guard parked.count < RatholeClients.mostParked else { return false }
            parked.append(connection)
            return true
        }

        func unpark(_ connection: RatholeConnection) { parked.removeAll { $0 === connection } }

        fileprivate func take(_ visitor: HeldConnection) -> Bool {
            guard !isOver else { return false }
            ask(for: 1)
            if let connection = parked.popFirst() {
                connection.start(joining: visitor)
                return true
            }
            return visitors.add(visitor)
        }

        // MARK: datagrams

        fileprivate func flow(
            from source: SocketAddress, deliver: @escaping (ByteBuffer) -> Void, over: @escaping () -> Void
        ) -> (any UDPFlow)? {
            guard !isOver, let address = source.ipAddress.flatMap({ IPAddress($0) }), let port = source.port else { return nil }
            let visitor = Visitor(address: address, port: UInt16(truncatingIfNeeded: port))
            let flow = Flow(
                visitor, deliver: deliver, send: { [weak self] in self?.send($0) },
                over: { [weak self] in
                    self?.flows[visitor] = nil
                    over()
                })
            // Of a crowd nothing is kept while there is no way.
            flow.keepsEarly = flows.count < Self.mostWithEarly
            flows[visitor] = flow
            if datagrams == nil { if let connection = parked.popFirst() { carryDatagrams(by: connection) } else { ask(for: 1) } }
            return flow
        }

        private func carryDatagrams(by connection: RatholeConnection) {
            let channel = connection.channel
            datagrams = channel
            let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
            connection.start { [weak self] datagram in
                let visitor = Visitor(address: datagram.visitor, port: datagram.port)
                self?.flows[visitor]?.received(ByteBuffer(bytes: datagram.payload))
            }
            channel.closeFuture.whenComplete { _ in
                let session = bound.value
                if session.datagrams === channel { session.datagrams = nil }
                guard !session.isOver, !session.flows.isEmpty, session.datagrams == nil else { return }
                if let next = session.parked.popFirst() { session.carryDatagrams(by: next) } else { session.ask(for: 1) }
            }
            for flow in flows.values { flow.begin() }
        }

        /// - Returns: false while there is no way; the flow keeps it.
        private func send(_ datagram: Rathole.Datagram) -> Bool {
            guard let datagrams, let frame = datagram.frame else { return false }
            if datagrams.isWritable { datagrams.writeAndFlush(ByteBuffer(bytes: frame), promise: nil) }
            return true
        }

        private final class Flow: UDPFlow {
            /// Datagrams that wait for a data connection.
            private static let mostEarly = 16

            private(set) var lastUsed = NIODeadline.now()
            private let visitor: Visitor
            private let deliver: (ByteBuffer) -> Void
            private let forward: (Rathole.Datagram) -> Bool?
            private let over: () -> Void
            private var early: [Rathole.Datagram] = []
            var keepsEarly = true
            private var isOver = false

            init(
                _ visitor: Visitor, deliver: @escaping (ByteBuffer) -> Void, send: @escaping (Rathole.Datagram) -> Bool?,
                over: @escaping () -> Void
            ) {
                self.visitor = visitor
                self.deliver = deliver
                forward = send
                self.over = over
            }

            func send(_ datagram: ByteBuffer) {
                lastUsed = .now()
                let datagram = Rathole.Datagram(
                    visitor: visitor.address, port: visitor.port, payload: Array(datagram.readableBytesView))
                if forward(datagram) != true, keepsEarly, early.count < Self.mostEarly { early.append(datagram) }
            }

            func begin() {
                for datagram in early { _ = forward(datagram) }
                early = []
            }

            func received(_ datagram: ByteBuffer) {
                lastUsed = .now()
                deliver(datagram)
            }

            func close() {
                guard !isOver else { return }
                isOver = true
                over()
            }
        }
    }
}
