public import EdgeAPI
public import Enrollment
public import NodeDocument
public import Sodium

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
    /// All of that Service, in any order.
    func endpointSlices(of service: ObjectName) async throws(StoreError) -> [EndpointSlice]
    func secret(_ name: ObjectName) async throws(StoreError) -> Secret?

    /// Whether an object may be used from another namespace without a word of its owner.
    func needsNoWord(_ reference: CrossReference) async throws(StoreError) -> Bool
    /// Whether the owner has given the word elsewhere than on the object: by a ReferenceGrant.
    func isGranted(_ reference: CrossReference) async throws(StoreError) -> Bool

    /// By which the edge knows the uplinks, by ordinal: 0 up to the replicas wanted, and those beyond whose uplink still runs. Keys that are
    /// missing are made and kept first.
    func uplinkKeys(of node: EdgeNode) async throws(StoreError) -> [Int: UplinkIdentity]
    /// Gives the uplinks their document; nothing happens when they have it.
    func publish(_ document: UplinkDocument, for node: EdgeNode) async throws(StoreError)
    /// The document as uplinks elsewhere are handed it by the VPS, sealed, base64; nil where none joined.
    func handOver(_ document: UplinkDocument, of node: EdgeNode) async throws(StoreError) -> String?
    /// Which uplink is held up by what, in its own words, from this side of the tunnel; nil for nothing, and where none answers here.
    func uplinkComplaint(of node: EdgeNode) async -> String?
    /// What the uplinks are called, but for `-` and the ordinal.
    func uplinkName(of node: EdgeNode) -> String
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

extension ResourceStore {
    public func handOver(_ document: UplinkDocument, of node: EdgeNode) async throws(StoreError) -> String? { nil }
    public func uplinkComplaint(of node: EdgeNode) async -> String? { nil }
    public func uplinkName(of node: EdgeNode) -> String { plainUplinkName(of: node) }
}

/// Of an EdgeNode that was the first of its name.
func plainUplinkName(of node: EdgeNode) -> String { "\(node.metadata.name)-uplink" }

/// The store could not do something.
public struct StoreError: Error, Sendable, CustomStringConvertible {
    /// CamelCase, the reason of the condition.
    public var reason: String
    /// What was tried, on what, why it failed, and what to do.
    public var message: String
    public var followUp: FollowUp

    public init(_ message: String, reason: String = "StoreFailed", followUp: FollowUp = .retry) {
        self.reason = reason
        self.message = message
        self.followUp = followUp
    }

    public var description: String { message }

    /// The writer is the writer no more: nothing is to be written, nor told, any further.
    public static let leadershipLost = StoreError(
        "another controller leads, or the Lease could not be renewed in time", reason: "LeadershipLost", followUp: .stalled)

    var isLostLeadership: Bool { reason == Self.leadershipLost.reason }
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
