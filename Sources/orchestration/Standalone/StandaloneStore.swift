public import EdgeAPI
import Enrollment
import FoundationEssentials
public import Logging
public import ManifestStore
import NetworkTypes
public import NodeDocument
public import Reconcilers
public import Sodium
import Synchronization
import Syscalls

/// A folder of manifests and a state folder as a `ResourceStore`, for people without a cluster.
///
/// An EdgeNode whose manifest is gone lives on as one that is being deleted until its VPS is torn down, also across restarts. As
/// long as some file cannot be read nothing counts as gone.
public final class StandaloneStore: ResourceStore {
    private struct State {
        var snapshot = Snapshot()
        /// Whether some reading of the manifests had no broken file.
        var wasComplete = false
        var enrolled: [ObjectName: EnrolledNode] = [:]
        /// Those of `enrolled` that an earlier run left.
        var heldBefore: Set<ObjectName> = []
        var nodeStatus: [ObjectName: EdgeNodeStatus] = [:]
        var bindingStatus: [ObjectName: PortBindingStatus] = [:]
        /// When each PortBinding was first seen, RFC 3339: what decides who is older.
        var firstSeen: [ObjectName: String] = [:]
        /// Events told before, so that a failure that repeats is told once.
        var told: [ResourceEvent: ContinuousClock.Instant] = [:]

        /// With the status and the age that a manifest does not hold.
        func complete(_ portBinding: PortBinding) -> PortBinding {
            var result = portBinding
            let name = portBinding.metadata.objectName
            result.status = bindingStatus[name]
            if result.metadata.creationTimestamp.isEmpty { result.metadata.creationTimestamp = firstSeen[name] ?? "" }
            return result
        }
    }

    private let folder: StateFolder
    /// All writing waits for the disk.
    private let disk = BlockingCalls("tidegate.state")
    private let uplinks: LocalUplinks?
    private let logger: Logger
    private let state: Mutex<State>

    /// - Parameter uplinks: runs the first uplink of a node on this host; nil when all run elsewhere.
    /// - Throws: `StateError` when the state folder holds what makes no sense.
    public init(folder: StateFolder, uplinks: LocalUplinks?, logger: Logger) throws(StateError) {
        var state = State()
        for node in try folder.enrolledNodes() { state.enrolled[node.edgeNode.metadata.objectName] = node }
        state.heldBefore = Set(state.enrolled.keys)
        let written = try StateFolder.readStatuses(at: folder.path)
        for (name, status) in written.edgeNodes { state.nodeStatus[name] = status }
        for (name, status) in written.portBindings {
            state.bindingStatus[name] = status
            state.firstSeen[name] = status.conditions["Programmed"]?.lastTransitionTime
        }
        self.folder = folder
        self.uplinks = uplinks
        self.logger = logger
        self.state = Mutex(state)
    }

    /// Takes a new reading of the manifests.
    /// - Returns: the EdgeNodes that it concerns, and the PortBindings that belong to none.
    func take(_ snapshot: Snapshot) -> (nodes: Set<ObjectName>, orphans: Set<ObjectName>) {
        let now = Date().formatted(.iso8601)
        return state.withLock { state in
            let before = state.snapshot
            state.snapshot = snapshot
            let isFirstComplete = snapshot.isComplete && !state.wasComplete
            if snapshot.isComplete { state.wasComplete = true }
            for portBinding in snapshot.portBindings where state.firstSeen[portBinding.metadata.objectName] == nil {
                state.firstSeen[portBinding.metadata.objectName] = now
            }
            let names = Set(before.edgeNodes.map(\.metadata.objectName)).union(snapshot.edgeNodes.map(\.metadata.objectName))
                .union(state.enrolled.keys)
            let changed = names.filter {
                isFirstComplete || NodeInputs($0, in: before) != NodeInputs($0, in: snapshot) || !snapshot.has($0)
            }
            let orphans = snapshot.portBindings.filter { !names.contains($0.edgeNodeName) }.map(\.metadata.objectName)
            return (changed, Set(orphans))
        }
    }

    /// Whether the node must be left as it is for now: it was enrolled by an earlier run, whose manifests are not all readable yet.
    /// What the broken file held is unknown, and a plan without it would close ports that are in use.
    func mustWait(_ name: ObjectName) -> Bool {
        state.withLock { !$0.wasComplete && $0.heldBefore.contains(name) }
    }

    /// Removes the status files of PortBindings that are gone.
    func sweepStatuses() async throws(StoreError) {
        let gone: [ObjectName] = state.withLock { state in
            guard state.snapshot.isComplete else { return [] }
            let present = Set(state.snapshot.portBindings.map(\.metadata.objectName))
            let gone = state.bindingStatus.keys.filter { !present.contains($0) }
            for name in gone {
                state.bindingStatus[name] = nil
                state.firstSeen[name] = nil
            }
            return gone
        }
        if gone.isEmpty { return }
        try await onDisk { folder in for name in gone { try folder.removePortBindingStatus(of: name) } }
    }

    // MARK: reading

    public func edgeNode(_ name: ObjectName) -> EdgeNode? {
        state.withLock { state in
            var node = state.snapshot.edgeNodes.first { $0.metadata.objectName == name }
            if node == nil, let enrolled = state.enrolled[name] {
                node = enrolled.edgeNode
                if state.snapshot.isComplete { node?.metadata.deletionTimestamp = Date().formatted(.iso8601) }
            }
            node?.status = state.nodeStatus[name]
            return node
        }
    }

    public func portBinding(_ name: ObjectName) -> PortBinding? {
        state.withLock { state in
            state.snapshot.portBindings.first { $0.metadata.objectName == name }.map { state.complete($0) }
        }
    }

    public func portBindings(of node: ObjectName) -> [PortBinding] {
        state.withLock { state in
            state.snapshot.portBindings.filter { $0.edgeNodeName == node }.map { state.complete($0) }
        }
    }

    public func service(_ name: ObjectName) -> Service? { state.withLock { $0.snapshot.services[name] } }

    public func endpointSlices(of service: ObjectName) throws(StoreError) -> [EndpointSlice] {
        throw StoreError(
            "target.service.resolve: Endpoints of Service \(service) needs a cluster, which knows the endpoints; use target.address here",
            reason: "NoCluster", followUp: .waiting)
    }

    public func secret(_ name: ObjectName) -> Secret? {
        state.withLock { state in
            if let secret = state.snapshot.secrets[name] { return secret }
            // A node whose manifest went together with its Secret is torn down with the Secret it had.
            return state.enrolled.values.first {
                $0.secret?.metadata.objectName == name && !state.snapshot.has($0.edgeNode.metadata.objectName)
            }?.secret
        }
    }

    /// Who may write the folder may write all of it.
    public func needsNoWord(_ reference: CrossReference) -> Bool { true }
    public func isGranted(_ reference: CrossReference) -> Bool { true }

    // MARK: the uplinks

    public func uplinkKeys(of node: EdgeNode) async throws(StoreError) -> [Int: UplinkIdentity] {
        let name = node.metadata.objectName
        let replicas = node.spec.uplink.replicas
        return try await onDisk { folder in
            var keys = try folder.uplinkKeys(of: name)
            for ordinal in 0..<replicas where keys[ordinal] == nil {
                let key = try WireGuardPrivateKey.generate()
                try folder.writeUplinkKey(key, ordinal: ordinal, of: name)
                keys[ordinal] = key
            }
            return try keys.filter { $0.key < replicas }.mapValues { try UplinkIdentity(of: $0) }
        }
    }

    public func publish(_ document: UplinkDocument, for node: EdgeNode) async throws(StoreError) {
        let name = node.metadata.objectName
        let certificate = try clientCertificate(of: node)
        try await onDisk { folder in
            try folder.writeUplinkDocument(try DocumentJSON.encode(document), of: name)
            try folder.writeClientCertificate(certificate, of: name)
        }
        guard let uplinks else { return }
        let proxy = try proxy(of: node)
        let files = folder.uplinkFiles(of: name)
        do throws(LocalUplinkError) {
            try await uplinks.run(
                node: name, files: files, carriers: document.content.link?.carriers ?? [.wireGuard], proxy: proxy,
                clientCertificate: node.spec.uplink.clientCertificateSecret == nil ? nil : files.clientCertificate)
        } catch {
            throw StoreError(error.description)
        }
    }

    public func handOver(_ document: UplinkDocument, of node: EdgeNode) async throws(StoreError) -> String? {
        let name = node.metadata.objectName
        return try await onDisk { folder in
            let desk = folder.joinDesk
            guard try !desk.joined(name).isEmpty, let key = try desk.handoverKey() else { return nil }
            let sequence = try folder.handoverSequence(of: name, hash: document.hash)
            return encodeBase64(try key.seal(try DocumentJSON.encode(HandedDocument(sequence: sequence, document: document))))
        }
    }

    /// Of each node that was enrolled, what changes when an uplink elsewhere joins.
    var joinStamps: [ObjectName: FileStamp] {
        let desk = folder.joinDesk
        return state.withLock { Array($0.enrolled.keys) }.reduce(into: [:]) { $0[$1] = desk.stamp(of: $1) }
    }

    /// Its tls.crt and tls.key; nil where the uplinks show none.
    private func clientCertificate(of node: EdgeNode) throws(StoreError) -> (chain: SecretBytes, key: SecretBytes)? {
        guard let secretName = node.spec.uplink.clientCertificateSecret else { return nil }
        let name = ObjectName(namespace: node.spec.uplink.namespace, name: secretName)
        let data = secret(name)?.data ?? [:]
        guard let chain = data["tls.crt"], let key = data["tls.key"] else {
            throw StoreError(
                "spec.uplink.clientCertificateSecretRef: there is no Secret \(name) with the keys tls.crt and tls.key",
                followUp: .waiting)
        }
        return (chain, key)
    }

    /// As the uplink's environment has it, `NAME=value` each; of the Secret's other keys nothing.
    private func proxy(of node: EdgeNode) throws(StoreError) -> [SecretBytes] {
        guard let secretName = node.spec.uplink.proxySecret else { return [] }
        let name = ObjectName(namespace: node.spec.uplink.namespace, name: secretName)
        guard let secret = secret(name), secret.data["HTTPS_PROXY"] != nil else {
            throw StoreError("spec.uplink.proxySecret: there is no Secret \(name) with the key HTTPS_PROXY", followUp: .waiting)
        }
        do throws(SodiumError) {
            var entries: [SecretBytes] = []
            for key in ["HTTPS_PROXY", "NO_PROXY"] {
                guard let value = secret.data[key] else { continue }
                var entry = Array("\(key)=".utf8) + value.withUnsafeBytes { Array($0) }
                entries.append(try SecretBytes(consuming: &entry))
            }
            return entries
        } catch {
            throw StoreError("\(error)")
        }
    }

    public func uplinkComplaint(of node: EdgeNode) async -> String? {
        await uplinks?.complaint(node: node.metadata.objectName).map { "the uplink on this host: \($0)" }
    }

    public func withdrawUplinks(of node: EdgeNode) async throws(StoreError) {
        let name = node.metadata.objectName
        await uplinks?.stop(node: name, files: folder.uplinkFiles(of: name))
        try await onDisk { folder in try folder.removeUplinks(of: name) }
    }

    // MARK: the life of a node

    public func holdNode(_ node: EdgeNode) async throws(StoreError) {
        let name = node.metadata.objectName
        let secretName = node.spec.ssh.secretRef.objectName(in: node.metadata)
        var bare = node
        bare.status = nil
        let record = EnrolledNode(edgeNode: bare, secret: secret(secretName) ?? state.withLock { $0.enrolled[name]?.secret })
        guard state.withLock({ $0.enrolled[name] }) != record else { return }
        try await onDisk { folder in try folder.saveEnrolled(record) }
        state.withLock { $0.enrolled[name] = record }
    }

    public func releaseNode(_ node: EdgeNode) async throws(StoreError) {
        let name = node.metadata.objectName
        try await onDisk { folder in
            try folder.removeEnrolled(name)
            try folder.removeEdgeNodeStatus(of: name)
        }
        state.withLock { state in
            state.enrolled[name] = nil
            state.nodeStatus[name] = nil
        }
    }

    /// A manifest has no history: a new value is a new request.
    public func restartRequest(of node: EdgeNode) -> String? { node.metadata.annotations[APIName.restartEnvoyAnnotation] }

    /// Manifests are the user's; an annotation there acts once for each of its values.
    public func removeAnnotation(_ annotation: String, of node: EdgeNode) {}

    // MARK: telling

    public func setStatus(_ status: EdgeNodeStatus, of node: EdgeNode) async throws(StoreError) {
        let name = node.metadata.objectName
        guard state.withLock({ $0.nodeStatus[name] }) != status else { return }
        try await onDisk { folder in try folder.writeStatus(status, of: name) }
        state.withLock { $0.nodeStatus[name] = status }
    }

    public func setStatus(_ status: PortBindingStatus, of binding: PortBinding) async throws(StoreError) {
        let name = binding.metadata.objectName
        try await onDisk { folder in try folder.writeStatus(status, of: name) }
        state.withLock { $0.bindingStatus[name] = status }
    }

    /// Into the log; the same again is told at most every ten minutes.
    public func record(_ event: ResourceEvent) {
        let now = ContinuousClock().now
        let isNew = state.withLock { state in
            state.told = state.told.filter { now - $0.value < .seconds(600) }
            guard state.told[event] == nil else { return false }
            state.told[event] = now
            return true
        }
        guard isNew else { return }
        logger.log(
            level: event.level == .warning ? .warning : .info, "\(event.message)",
            metadata: ["kind": "\(event.kind)", "object": "\(event.name)", "reason": "\(event.reason)"])
    }

    private func onDisk<Value: Sendable>(
        _ body: @Sendable (StateFolder) throws -> Value
    ) async throws(StoreError) -> Value {
        do {
            return try await disk.run { [folder] in try body(folder) }
        } catch {
            throw StoreError("\(error)")
        }
    }
}

extension Snapshot {
    fileprivate func has(_ node: ObjectName) -> Bool { edgeNodes.contains { $0.metadata.objectName == node } }
}

/// All in a snapshot that one EdgeNode's reconcile reads.
private struct NodeInputs: Equatable {
    var node: EdgeNode?
    var portBindings: [PortBinding]
    var secrets: [ObjectName: Secret] = [:]
    var services: [ObjectName: Service] = [:]

    init(_ name: ObjectName, in snapshot: Snapshot) {
        node = snapshot.edgeNodes.first { $0.metadata.objectName == name }
        portBindings = snapshot.portBindings.filter { $0.edgeNodeName == name }
        if let node {
            for secret in node.secretNames { secrets[secret] = snapshot.secrets[secret] }
            let uplink = node.spec.uplink
            for secret in [uplink.proxySecret, uplink.clientCertificateSecret] {
                let name = secret.map { ObjectName(namespace: uplink.namespace, name: $0) }
                if let name { secrets[name] = snapshot.secrets[name] }
            }
        }
        for portBinding in portBindings {
            for binding in portBinding.spec.bindings {
                if let secret = binding.tls?.mode.secretRef?.objectName(in: portBinding.metadata) {
                    secrets[secret] = snapshot.secrets[secret]
                }
                if let reference = binding.target.serviceReference {
                    let service = reference.objectName(in: portBinding.metadata)
                    services[service] = snapshot.services[service]
                }
            }
        }
    }
}
