public import EdgeAPI
public import NetworkTypes
public import NodeDocument

/// Where resources live: the Kubernetes API, or a folder of manifests.
///
/// Every call may be repeated; none leaves a half-written object.
public protocol ResourceStore: Sendable {
    /// - Returns: nil when there is none.
    func edgeNode(_ name: ObjectName) async throws(StoreError) -> EdgeNode?
    func portBinding(_ name: ObjectName) async throws(StoreError) -> PortBinding?
    /// Those that refer to the EdgeNode, in any order.
    func portBindings(of node: ObjectName) async throws(StoreError) -> [PortBinding]
    func service(_ name: ObjectName) async throws(StoreError) -> Service?
    func secret(_ name: ObjectName) async throws(StoreError) -> Secret?

    /// The uplinks' public keys by ordinal: 0 up to the replicas wanted, and those beyond whose uplink still runs. Keys that are
    /// missing are made and kept first.
    func uplinkKeys(of node: EdgeNode) async throws(StoreError) -> [Int: WireGuardPublicKey]
    /// Gives the uplinks their document; nothing happens when they have it.
    func publish(_ document: UplinkDocument, for node: EdgeNode) async throws(StoreError)
    /// Removes all that `publish` and `uplinkKeys` made.
    func withdrawUplinks(of node: EdgeNode) async throws(StoreError)

    /// Makes sure that the EdgeNode stays until `releaseNode`, so that its VPS can be torn down.
    func holdNode(_ node: EdgeNode) async throws(StoreError)
    func releaseNode(_ node: EdgeNode) async throws(StoreError)
    /// What tells one setting of the annotation `restart-envoy` from the next, so that each acts once; nil when it is not set.
    func restartRequest(of node: EdgeNode) -> String?
    func removeAnnotation(_ annotation: String, of node: EdgeNode) async throws(StoreError)

    func setStatus(_ status: EdgeNodeStatus, of node: EdgeNode) async throws(StoreError)
    func setStatus(_ status: PortBindingStatus, of binding: PortBinding) async throws(StoreError)
    func record(_ event: ResourceEvent) async
}

/// The store could not do something.
public struct StoreError: Error, Sendable, CustomStringConvertible {
    /// CamelCase, the reason of the condition.
    public var reason: String
    /// What was tried, on what, why it failed, and what to do.
    public var message: String
    public var followUp: NodeFailure.FollowUp

    public init(_ message: String, reason: String = "StoreFailed", followUp: NodeFailure.FollowUp = .retry) {
        self.reason = reason
        self.message = message
        self.followUp = followUp
    }

    public var description: String { message }
}

/// Something worth telling the user of a resource, as `kubectl describe` shows it.
public struct ResourceEvent: Hashable, Sendable {
    public enum Level: String, Hashable, Sendable {
        case normal = "Normal"
        case warning = "Warning"
    }

    public var kind: String
    public var name: ObjectName
    public var level: Level
    /// CamelCase.
    public var reason: String
    public var message: String

    public init(kind: String, name: ObjectName, level: Level, reason: String, message: String) {
        self.kind = kind
        self.name = name
        self.level = level
        self.reason = reason
        self.message = message
    }
}
