import EdgeAPI
import Enrollment
import Fixtures
import NetworkTypes
import NodeDocument
import Sodium

@testable import Reconcilers

/// A `ResourceStore` in memory that writes down who asked it to change what.
actor MemoryStore: ResourceStore {
    var nodes: [ObjectName: EdgeNode] = [:]
    var bindings: [ObjectName: PortBinding] = [:]
    var services: [ObjectName: Service] = [:]
    var slices: [ObjectName: [EndpointSlice]] = [:]
    var secrets: [ObjectName: Secret] = [:]
    private(set) var published: [ObjectName: UplinkDocument] = [:]
    private(set) var events: [ResourceEvent] = []
    /// Calls by these names fail.
    var failing: Set<String> = []
    /// Calls by these names fail with these errors.
    var errors: [String: StoreError] = [:]
    /// Secrets that the rules of the cluster hide.
    var forbidden: Set<ObjectName> = []
    /// Whether Services of other namespaces need their owner's word too.
    var servicesNeedWord = false
    /// As ReferenceGrants have it.
    var granted: Set<CrossReference> = []
    private let journal: Journal

    init(_ journal: Journal) { self.journal = journal }

    func change(_ body: @Sendable (isolated MemoryStore) -> Void) { body(self) }

    func takeEvents() -> [ResourceEvent] {
        defer { events = [] }
        return events
    }

    private func entering(_ call: String, log: Bool = true) throws(StoreError) {
        if failing.contains(call) { throw StoreError("\(call) failed") }
        if let error = errors[call] { throw error }
        if log { journal.add(call) }
    }

    func edgeNode(_ name: ObjectName) throws(StoreError) -> EdgeNode? {
        try entering("edgeNode", log: false)
        return nodes[name]
    }

    func portBinding(_ name: ObjectName) throws(StoreError) -> PortBinding? {
        try entering("portBinding", log: false)
        return bindings[name]
    }

    func portBindings(of node: ObjectName) throws(StoreError) -> [PortBinding] {
        bindings.values.filter { $0.edgeNodeName == node }
    }

    func service(_ name: ObjectName) throws(StoreError) -> Service? { services[name] }
    func endpointSlices(of service: ObjectName) throws(StoreError) -> [EndpointSlice] { slices[service] ?? [] }

    func secret(_ name: ObjectName) throws(StoreError) -> Secret? {
        try entering("secret", log: false)
        if forbidden.contains(name) {
            throw StoreError("Secret \(name) may not be read", reason: "Forbidden", followUp: .waiting)
        }
        return secrets[name]
    }

    func needsNoWord(_ reference: CrossReference) -> Bool { reference.targetKind == Service.kind && !servicesNeedWord }
    func isGranted(_ reference: CrossReference) -> Bool { granted.contains(reference) }

    func uplinkKeys(of node: EdgeNode) throws(StoreError) -> [Int: UplinkIdentity] {
        try entering("uplinkKeys", log: false)
        var keys: [Int: UplinkIdentity] = [:]
        for ordinal in 0..<node.spec.uplink.replicas {
            let sshKey = SSHPublicKey("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f")
            keys[ordinal] = WireGuardPublicKey(bytes: [UInt8](repeating: UInt8(ordinal + 1), count: 32)).flatMap { key in
                sshKey.map { UplinkIdentity(publicKey: key, linkPin: SHA256.digest(of: "link \(ordinal)"), sshKey: $0) }
            }
        }
        return keys
    }

    func publish(_ document: UplinkDocument, for node: EdgeNode) throws(StoreError) {
        try entering("publish")
        published[node.metadata.objectName] = document
    }

    func withdrawUplinks(of node: EdgeNode) throws(StoreError) {
        try entering("withdrawUplinks")
        published[node.metadata.objectName] = nil
    }

    func holdNode(_ node: EdgeNode) throws(StoreError) {
        guard !node.metadata.finalizers.contains(APIName.finalizer) else { return }
        try entering("holdNode")
        nodes[node.metadata.objectName]?.metadata.finalizers.append(APIName.finalizer)
    }

    func releaseNode(_ node: EdgeNode) throws(StoreError) {
        try entering("releaseNode")
        nodes[node.metadata.objectName] = nil
    }

    nonisolated func restartRequest(of node: EdgeNode) -> String? {
        node.metadata.annotations[APIName.restartEnvoyAnnotation].map { "\($0)/\(node.metadata.resourceVersion)" }
    }

    func removeAnnotation(_ annotation: String, of node: EdgeNode) throws(StoreError) {
        try entering("removeAnnotation")
        nodes[node.metadata.objectName]?.metadata.annotations[annotation] = nil
    }

    func setStatus(_ status: EdgeNodeStatus, of node: EdgeNode) throws(StoreError) {
        try entering("setStatus", log: false)
        nodes[node.metadata.objectName]?.status = status
    }

    func setStatus(_ status: PortBindingStatus, of binding: PortBinding) throws(StoreError) {
        try entering("setBindingStatus")
        bindings[binding.metadata.objectName]?.status = status
    }

    func record(_ event: ResourceEvent) { events.append(event) }
}
