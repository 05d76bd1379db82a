public import NetworkTypes

/// What the cluster says of an EdgeNode's uplink pods, and how that counts beside what its VPS said last.
///
/// Two sources tell of an uplink. **The VPS** asks it through the tunnel, so its word is the whole truth of the moment it was asked,
/// which may be three minutes ago. **The pods** are watched: their fall is known at once, but a kubelet knows nothing of the tunnel's
/// other end, and tells of readiness by probes. So the pods only take away, and never add:
/// - A pod that is gone, has ended or is being deleted carries nothing, whatever the VPS said.
/// - A pod that *fell* (it was ready, and is not any more) counts against what the VPS was asked before, or within `grace` after: its
///   prober may not have noticed yet. A VPS that was asked later and has an answer from the uplink is right: it is the kubelet
///   that is cut off.
/// - A pod that never was ready says nothing: the VPS hears from a new uplink before the kubelet's next probe.
/// - A pod that becomes ready makes the controller ask the VPS.
public struct UplinkPods: Equatable, Sendable {
    /// One pod, as far as it matters here.
    public struct Pod: Hashable, Sendable {
        /// Of the pod; a new one has another.
        public var uid: String
        /// The condition `Ready`.
        public var isReady: Bool
        /// It has a time of deletion, or has ended.
        public var isLeaving: Bool
        /// What the kubelet or the scheduler says of it, such as `CrashLoopBackOff`; nil for nothing.
        public var trouble: String?
        /// In the cluster's network; nil until it has one.
        public var address: IPAddress?

        public init(uid: String, isReady: Bool, isLeaving: Bool, trouble: String?, address: IPAddress? = nil) {
            self.uid = uid
            self.isReady = isReady
            self.isLeaving = isLeaving
            self.trouble = trouble
            self.address = address
        }
    }

    /// Why an uplink counts as down although the VPS said that it is ready.
    public struct Objection: Equatable, Sendable {
        public var isGone: Bool
        /// For people, without the uplink's name.
        public var words: String
    }

    typealias Instant = ContinuousClock.Instant

    /// How long the VPS may take to notice that an uplink fell: its prober's verdict.
    static let grace: Duration = .seconds(5)

    /// By ordinal.
    private(set) var pods: [Int: Pod]
    /// When each was seen to fall; gone once it is ready again.
    private(set) var falls: [Int: Instant] = [:]

    init(_ pods: [Int: Pod]) { self.pods = pods }

    /// What is known after a look at all of the node's pods.
    mutating func take(_ now: [Int: Pod], at time: Instant) {
        for (ordinal, pod) in pods where pod.carries && now[ordinal]?.carries != true { falls[ordinal] = time }
        for (ordinal, pod) in now where pod.carries { falls[ordinal] = nil }
        // Bounded by the pods that there are or just were.
        falls = falls.filter { now[$0.key] != nil || time - $0.value < Self.grace }
        pods = now
    }

    /// - Parameter askedAt: when the VPS was asked.
    func objection(to ordinal: Int, askedAt: Instant) -> Objection? {
        guard let pod = pods[ordinal] else { return Objection(isGone: true, words: "its pod is not there") }
        if pod.isLeaving { return Objection(isGone: true, words: "its pod is ending") }
        guard !pod.isReady, let fell = falls[ordinal], askedAt < fell + Self.grace else { return nil }
        return Objection(
            isGone: false, words: pod.trouble.map { "its pod is not ready: \($0)" } ?? "its pod is not ready any more")
    }
}

extension UplinkPods.Pod {
    fileprivate var carries: Bool { isReady && !isLeaving }
}
