import Glibc
import Synchronization

/// What one look at an EdgeNode found.
public struct EdgeNodeObservation: Hashable, Sendable {
    /// A private key that lies on the VPS, and how long its certificate holds.
    public struct Certificate: Hashable, Sendable {
        public var portBindingNamespace: String
        public var portBinding: String
        public var binding: String
        /// Seconds since 1970.
        public var notAfter: Double

        public init(portBindingNamespace: String, portBinding: String, binding: String, notAfter: Double) {
            self.portBindingNamespace = portBindingNamespace
            self.portBinding = portBinding
            self.binding = binding
            self.notAfter = notAfter
        }
    }

    /// By ordinal: seconds since the last handshake, as the relay tells; an uplink that never had one is left out.
    public var handshakeAges: [Int: Int]
    /// How many bindings are in each state; the reason of their `Ready` condition.
    public var bindings: [String: Int]
    public var certificates: [Certificate]
    /// `kernel` or `userspace`; nil where it is not known.
    public var wireGuardKind: String?

    public init(
        handshakeAges: [Int: Int] = [:], bindings: [String: Int] = [:], certificates: [Certificate] = [],
        wireGuardKind: String? = nil
    ) {
        self.handshakeAges = handshakeAges
        self.bindings = bindings
        self.certificates = certificates
        self.wireGuardKind = wireGuardKind
    }
}

/// What the controller tells of each EdgeNode. All series of a node come and go together.
public final class EdgeNodeMetrics: Sendable {
    /// The label `namespace` is left to Prometheus, which sets it to the scraped pod's.
    private static let labels = ["edge_node_namespace", "edge_node"]

    private struct Name: Hashable {
        let namespace: String
        let name: String
        var labels: [String] { [namespace, name] }
    }

    private struct State {
        var isReachable = false
        var reconciledAt: Double = 0
        var succeededAt: Double?
        var sshSeconds: Double = 0
        var sshExecs = 0
        /// The last look that reached the VPS, and when; nil before the first.
        var seen: (observation: EdgeNodeObservation, at: Double)?
    }

    private let states = Mutex<[Name: State]>([:])
    private let now: @Sendable () -> Double

    /// - Parameter now: seconds since 1970.
    public init(in registry: MetricRegistry, now: @escaping @Sendable () -> Double = wallClock) throws(MetricError) {
        self.now = now
        try register("reachable", .gauge, help: "Whether the last reconcile reached the VPS by SSH.", in: registry) { _, state in
            [Sample(state.isReachable)]
        }
        try register(
            "last_reconcile_timestamp_seconds", .gauge, help: "When the last reconcile ended, however it went.", in: registry
        ) { _, state in [Sample(state.reconciledAt)] }
        try register(
            "last_success_timestamp_seconds", .gauge, help: "When the last reconcile that did all it had to do ended.",
            in: registry
        ) { _, state in state.succeededAt.map { [Sample($0)] } ?? [] }
        try register("ssh_seconds_total", .counter, help: "Time spent in SSH connections and commands.", in: registry) {
            _, state in
            [Sample(state.sshSeconds)]
        }
        try register("ssh_execs_total", .counter, help: "Commands run over SSH.", in: registry) { _, state in
            [Sample(state.sshExecs)]
        }
        try register(
            "uplink_handshake_age_seconds", .gauge, by: ["uplink"],
            help:
                "Time since the relay's last WireGuard handshake with an uplink, as far as known; it grows while the VPS is out of "
                + "reach.", in: registry
        ) { now, state in
            guard let seen = state.seen else { return [] }
            return seen.observation.handshakeAges.map { Sample(Double($0.value) + max(0, now - seen.at), labels: ["\($0.key)"]) }
        }
        try register(
            "bindings", .gauge, by: ["state"], help: "Bindings by the reason of their condition Ready.", in: registry
        ) { _, state in state.seen?.observation.bindings.map { Sample($0.value, labels: [$0.key]) } ?? [] }
        try register(
            "certificate_not_after_timestamp_seconds", .gauge, by: ["port_binding_namespace", "port_binding", "binding"],
            help: "When the certificate that a binding presents on the VPS ends.", in: registry
        ) { _, state in
            state.seen?.observation.certificates.map {
                Sample($0.notAfter, labels: [$0.portBindingNamespace, $0.portBinding, $0.binding])
            } ?? []
        }
        try register("wireguard_info", .gauge, by: ["kind"], help: "Whose WireGuard the VPS uses.", in: registry) { _, state in
            state.seen?.observation.wireGuardKind.map { [Sample(1, labels: [$0])] } ?? []
        }
    }

    /// A reconcile of the node has ended.
    /// - Parameters:
    ///   - succeeded: whether it did all it had to do.
    ///   - observation: what it found; nil when the VPS could not be reached, and what was found before stays.
    ///   - sshTime: spent in SSH by this reconcile.
    ///   - sshExecs: commands that this reconcile ran over SSH.
    public func reconciled(
        namespace: String, name: String, succeeded: Bool, observation: EdgeNodeObservation?, sshTime: Duration, sshExecs: Int
    ) {
        let time = now()
        states.withLock { states in
            let key = Name(namespace: namespace, name: name)
            var state = states[key] ?? State()
            state.isReachable = observation != nil
            state.reconciledAt = time
            if succeeded { state.succeededAt = time }
            state.sshSeconds += max(0, sshTime.inSeconds)
            state.sshExecs += max(0, sshExecs)
            if let observation { state.seen = (observation, time) }
            states[key] = state
        }
    }

    /// The node is gone: so are its series. A controller that stops leading calls `removeAll`.
    public func remove(namespace: String, name: String) {
        states.withLock { $0[Name(namespace: namespace, name: name)] = nil }
    }

    /// Forgets all nodes: another controller tells of them now.
    public func removeAll() { states.withLock { $0 = [:] } }

    private func register(
        _ name: String, _ kind: MetricFamily.Kind, by labels: [String] = [], help: String, in registry: MetricRegistry,
        samples: @escaping @Sendable (_ now: Double, State) -> [Sample]
    ) throws(MetricError) {
        let family = MetricFamily(kind, "tidegate_edge_node_\(name)", labels: Self.labels + labels, help: help)
        try registry.register(family) { [self] in
            let time = now()
            return states.withLock { $0 }.flatMap { name, state in
                samples(time, state).map { Sample($0.value, labels: name.labels + $0.labels) }
            }
        }
    }
}

/// Seconds since 1970.
public func wallClock() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
