public import HostNetwork
public import Logging
import NIOPosix
public import NetworkTypes
import Synchronization
import Timing

/// Keeps one end of a mesh on this host as it is wanted, and looks each second whether the other end is there. What others change is put back.
public final class MeshKeeper: Sendable {
    public struct State: Equatable, Sendable {
        /// Whether the other end was heard of within the last seconds.
        public var isUp = false
        /// Why this end is not as it should be; nil where it is.
        public var trouble: String?
        /// Of this end's WireGuard; nil before it has one.
        public var listenPort: Port?

        public init() {}
    }

    private struct Inner {
        var wanted: MeshEnd?
        var isChanged = false
        var state = State()
        /// Whether there is a way to the other end; nil where this end does not know.
        var isReachable: Bool?
        /// There was none meanwhile.
        var wasCut = false
    }

    /// Between two looks; the other end speaks each `MeshEnd.keepalive` seconds.
    private static let pace = Duration.seconds(1)
    /// Without a word of the other end.
    private static let silence = Duration.seconds(7)
    /// Between two looks at what others may have changed, and after a failure.
    private static let settling = Duration.seconds(10)
    private static let retry = Duration.seconds(3)
    /// Until the other end is greeted anew though there is a way to it: while it was not heard of yet, and after it was.
    private static let (eagerness, doubt) = (Duration.milliseconds(1500), Duration.seconds(5))

    private let host: MeshHost
    private let logger: Logger
    private let changed: @Sendable (State) -> Void
    private let inner = Mutex(Inner())
    private let wakeup = Wakeup()

    /// - Parameters:
    ///   - wireguardGo: for kernels without WireGuard; the newest is taken.
    ///   - changed: hears of each new state, of no event loop.
    public init(wireguardGo: [WireGuardGo.Program], logger: Logger, changed: @escaping @Sendable (State) -> Void) {
        host = MeshHost(wireguardGo)
        self.logger = logger
        self.changed = changed
    }

    public var state: State { inner.withLock(\.state) }

    /// Nil for none.
    public func want(_ end: MeshEnd?) {
        inner.withLock {
            $0.wanted = end
            $0.isChanged = true
        }
        wakeup.signal()
    }

    /// Says whether there is a way to the other end, where this end knows: whenever there is one again, and while nothing comes by it, the other
    /// end is greeted anew.
    public func reach(_ isReachable: Bool) {
        let isNew = inner.withLock { inner in
            defer { inner.isReachable = isReachable }
            if inner.isReachable != isReachable { inner.wasCut = true }
            return inner.isReachable != isReachable
        }
        if isNew { wakeup.signal() }
    }

    /// Until the task is cancelled; then nothing is left.
    public func run() async {
        let threads = NIOThreadPool(numberOfThreads: 1)
        threads.start()
        var turn = Turn()
        while !Task.isCancelled {
            let (wanted, isChanged) = inner.withLock { inner in
                defer { inner.isChanged = false }
                return (inner.wanted, inner.isChanged)
            }
            if isChanged { turn.nextSettling = .now }
            if let wanted {
                turn = await onThread(threads, turn) { self.keep(wanted, $0) }
            } else if isChanged, turn.isSettled || state != State() {
                turn = await onThread(threads, turn) { _ in self.removeAll() }
            }
            await wakeup.wait(until: .now + Self.pace)
        }
        // Nothing was made where nothing was wanted. A task that was cancelled gets no thread.
        let isOwed = inner.withLock { $0.wanted != nil } || turn.isSettled
        let last = turn
        await Task.detached {
            if isOwed { _ = await self.onThread(threads, last) { _ in self.removeAll() } }
            try? await threads.shutdownGracefully()
        }.value
    }

    // MARK: on the thread

    /// What is remembered from look to look.
    private struct Turn: Sendable {
        var isSettled = false
        var nextSettling = ContinuousClock.now
        var received: UInt64 = 0
        /// When the other end was heard of last.
        var heard: ContinuousClock.Instant?
        var greeted = ContinuousClock.now
        var leftOut: [String] = []
    }

    private func onThread(_ threads: NIOThreadPool, _ turn: Turn, _ body: @escaping @Sendable (Turn) -> Turn) async -> Turn {
        (try? await threads.runIfActive { body(turn) }) ?? turn
    }

    private func keep(_ end: MeshEnd, _ former: Turn) -> Turn {
        var turn = former
        var state = self.state
        let settles = turn.nextSettling <= .now
        do {
            if settles {
                // What comes by a link is led to the port of before.
                let (changes, leftOut) = try host.settle(end.listening(at: state.listenPort))
                if !changes.isEmpty { logger.info("mesh", metadata: ["changes": "\(HostChange.words(changes))"]) }
                for reason in leftOut where !turn.leftOut.contains(reason) {
                    logger.warning("mesh", metadata: ["left out": "\(reason)"])
                }
                turn.leftOut = leftOut
                turn.isSettled = true
                turn.nextSettling = .now + Self.settling
            }
            let look = try host.look()
            if look.received != turn.received, look.received > 0 { turn.heard = .now }
            turn.received = look.received
            try greet(&turn)
            state.listenPort = look.listenPort
            state.isUp = turn.heard.map { .now - $0 < Self.silence } ?? false
            state.trouble = nil
        } catch {
            turn.isSettled = false
            // Somebody else may have it.
            if settles { state.listenPort = nil }
            // What was there and is gone comes back at once.
            turn.nextSettling = settles ? .now + Self.retry : .now
            state.isUp = false
            state.trouble = "\(error)"
        }
        publish(state)
        return turn
    }

    private func greet(_ turn: inout Turn) throws {
        let (isReachable, wasCut) = inner.withLock { inner in
            defer { inner.wasCut = false }
            return (inner.isReachable, inner.wasCut)
        }
        guard let isReachable else { return }
        // Whoever comes back may be another process, which knows nothing of the former's session.
        if wasCut || !isReachable { turn.heard = nil }
        let doubted = max(turn.greeted + Self.eagerness, turn.heard.map { $0 + Self.doubt } ?? turn.greeted)
        guard isReachable, wasCut || doubted < .now else { return }
        turn.greeted = .now
        try host.renew()
        turn.received = 0
    }

    private func removeAll() -> Turn {
        let (changes, failures) = host.remove()
        if !changes.isEmpty { logger.info("mesh", metadata: ["changes": "\(HostChange.words(changes))"]) }
        for failure in failures { logger.error("mesh: something is left", metadata: ["cause": "\(failure)"]) }
        publish(State())
        return Turn()
    }

    private func publish(_ state: State) {
        let former = inner.withLock { inner in
            defer { inner.state = state }
            return inner.state
        }
        guard former != state else { return }
        if let trouble = state.trouble, trouble != former.trouble {
            logger.error("the mesh is not as it should be", metadata: ["cause": "\(trouble)"])
        }
        if former.isUp != state.isUp { logger.info(state.isUp ? "the mesh is up" : "the mesh is down: the other end is silent") }
        changed(state)
    }
}
