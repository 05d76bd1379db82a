import Documents
import EdgeAPI
import Enrollment
import EventRecording
import FoundationEssentials
import Informers
import JSON
import KubernetesAPI
import NetworkTypes
import NodeDocument
import Reconcilers
import Sodium
import Synchronization
import UplinkWorkload

/// The Kubernetes API as a `ResourceStore`: read from the informers, written to the server.
///
/// What it wrote it reads at once, whether or not the watch has told of it yet. Nothing is written once the leadership is over.
final class KubernetesStore: ResourceStore {
    private let server: APIServer
    private let resources: WatchedResources
    private let uplinks: UplinkWriter
    /// The pods of these names; nil while that is not known.
    private let pods: @Sendable (UplinkNames) -> [Int: UplinkPods.Pod]?
    /// Where Secrets may be read; empty for everywhere.
    private let secretNamespaces: Set<String>
    private let tenants: TenantPolicy
    private let grants: ReferenceGrants
    private let events: EventRecorder
    /// Whether this process may write; looked at before each write.
    private let mayWrite: @Sendable () -> Bool
    private let written = Mutex(Written())
    private let pacing = Mutex(StatusPacing())

    private struct Written {
        var nodes = OwnWrites<EdgeNode>(metadata: \.metadata)
        var bindings = OwnWrites<PortBinding>(metadata: \.metadata)
    }

    /// How long a Secret or Service that was just named may take to arrive.
    private static let patience: Duration = .seconds(5)

    init(
        _ server: APIServer, resources: WatchedResources, uplinks: UplinkWriter,
        pods: @escaping @Sendable (UplinkNames) -> [Int: UplinkPods.Pod]?, secretNamespaces: Set<String>,
        tenants: TenantPolicy, events: EventRecorder,
        mayWrite: @escaping @Sendable () -> Bool
    ) {
        self.server = server
        self.resources = resources
        self.uplinks = uplinks
        self.pods = pods
        self.secretNamespaces = secretNamespaces
        self.tenants = tenants
        grants = ReferenceGrants(server)
        self.events = events
        self.mayWrite = mayWrite
    }

    // MARK: reading

    func edgeNode(_ name: ObjectName) -> EdgeNode? {
        let watched = resources.nodes.observed(name)?.object?.node
        return written.withLock { $0.nodes.newest(name, watched: watched) }
    }

    func portBinding(_ name: ObjectName) -> PortBinding? {
        let watched = resources.bindings.observed(name)?.object
        return written.withLock { $0.bindings.newest(name, watched: watched) }
    }

    func portBindings(of node: ObjectName) -> [PortBinding] { resources.bindings(of: node) }

    func service(_ name: ObjectName) async throws(StoreError) -> Service? {
        try await awaited("Service", name) { resources.services.get(name) }
    }

    func endpointSlices(of service: ObjectName) async throws(StoreError) -> [EndpointSlice] {
        let deadline = ContinuousClock.now + Self.patience
        while true {
            let known = resources.slices.lastObserved(WatchedResources.slicesByService, service, in: service.namespace)
            if let known { return known.compactMap(\.object) }
            if resources.endpointWishes.isRefused(service.namespace) {
                throw StoreError(
                    "the endpoints of Service \(service) are not followed: the bindings of one namespace ask for the endpoints of more than "
                        + "\(EndpointWishes.mostForeign) others; name fewer", reason: "Forbidden", followUp: .waiting)
            }
            let problem = resources.slices.problem(in: service.namespace)
            if problem?.status?.code == 403 {
                throw StoreError(
                    "the endpoints of Service \(service) may not be read: grant get, list and watch on "
                        + "endpointslices.discovery.k8s.io in namespace \(service.namespace) to Tidegate's service account (a Role and "
                        + "a RoleBinding there)", reason: "Forbidden", followUp: .waiting)
            }
            guard ContinuousClock.now < deadline, !Task.isCancelled else {
                throw StoreError(
                    "the endpoints of Service \(service) cannot be read yet: "
                        + (problem.map { "\($0)" } ?? "the API server has not told of them"))
            }
            try? await Task.sleep(for: .milliseconds(20))
        }
    }

    func secret(_ name: ObjectName) async throws(StoreError) -> Secret? {
        guard secretNamespaces.isEmpty || secretNamespaces.contains(name.namespace) else {
            throw StoreError(
                "Secret \(name) may not be read: its namespace is not among --secret-namespaces", reason: "Forbidden",
                followUp: .waiting)
        }
        return try await awaited("Secret", name) { resources.secrets.get(name) }
    }

    private func awaited<Object: Sendable>(
        _ kind: String, _ name: ObjectName, _ look: () -> WatchSet<Object>.Knowledge
    ) async throws(StoreError) -> Object? {
        let deadline = ContinuousClock.now + Self.patience
        while true {
            switch look() {
            case .known(let observed):
                if let object = observed.object { return object }
                let problem = observed.problems.first.map { "\($0)" } ?? "it cannot be read"
                throw StoreError("\(kind) \(name): \(problem)", reason: "\(kind)Invalid", followUp: .waiting)
            case .absent: return nil
            case .forbidden(let advice):
                throw StoreError("\(kind) \(name) may not be read: \(advice)", reason: "Forbidden", followUp: .waiting)
            case .unknown(let cause):
                guard ContinuousClock.now < deadline, !Task.isCancelled else {
                    throw StoreError("\(kind) \(name) cannot be read yet: \(cause ?? "the API server has not told of it")")
                }
                try? await Task.sleep(for: .milliseconds(20))
            }
        }
    }

    func needsNoWord(_ reference: CrossReference) -> Bool {
        reference.targetKind == Service.kind && !tenants.requiresServiceGrants
    }

    func isGranted(_ reference: CrossReference) async throws(StoreError) -> Bool { try await grants.allow(reference) }

    // MARK: the uplinks

    func uplinkKeys(of node: EdgeNode) async throws(StoreError) -> [Int: UplinkIdentity] {
        try checkLeadership()
        try tenants.check(node, among: resources.nodes(in: node.metadata.namespace))
        let (keys, repairs) = try await uplinks.keys(of: node)
        await tell(repairs, of: node)
        return keys
    }

    func publish(_ document: UplinkDocument, for node: EdgeNode) async throws(StoreError) {
        try checkLeadership()
        await tell(try await uplinks.publish(document, for: node), of: node)
    }

    private func tell(_ repairs: [String], of node: EdgeNode) async {
        for repair in repairs {
            await record(
                ResourceEvent(
                    kind: EdgeNode.kind, name: node.metadata.objectName, level: .warning, reason: "DriftRepaired",
                    message: repair))
        }
    }

    func uplinkComplaint(of node: EdgeNode) async -> String? {
        guard let pods = pods(uplinks.knownNames(of: node)) else { return nil }
        return await UplinkQuestion().complaint(of: pods)
    }

    func uplinkName(of node: EdgeNode) -> String { uplinks.knownNames(of: node).statefulSet.name }

    func withdrawUplinks(of node: EdgeNode) async throws(StoreError) {
        try checkLeadership()
        try await uplinks.withdraw(node)
    }

    // MARK: the life of a node

    func holdNode(_ node: EdgeNode) async throws(StoreError) {
        guard !node.metadata.finalizers.contains(APIName.finalizer) else { return }
        try await setFinalizers(node.metadata.finalizers + [APIName.finalizer], of: node)
    }

    func releaseNode(_ node: EdgeNode) async throws(StoreError) {
        try await setFinalizers(node.metadata.finalizers.filter { $0 != APIName.finalizer }, of: node)
    }

    /// The list as a whole, and only while nobody else has changed the object: finalizers are others' too.
    private func setFinalizers(_ finalizers: [String], of node: EdgeNode) async throws(StoreError) {
        try await patch(
            node, "finalizers",
            [
                "finalizers": .array(finalizers.map { .string($0) }),
                "resourceVersion": .string(node.metadata.resourceVersion),
            ])
    }

    func restartRequest(of node: EdgeNode) -> String? {
        guard node.metadata.annotations[APIName.restartEnvoyAnnotation] != nil else { return nil }
        return resources.nodes.observed(node.metadata.objectName)?.object?.restartRequest
    }

    func removeAnnotation(_ annotation: String, of node: EdgeNode) async throws(StoreError) {
        try await patch(node, "annotation \(annotation)", ["annotations": [annotation: .null]])
    }

    private func patch(_ node: EdgeNode, _ what: String, _ metadata: FieldValue) async throws(StoreError) {
        try checkLeadership()
        let name = node.metadata.objectName
        do throws(APIError) {
            remember(node: try await server.mergePatch(.edgeNodes, name, ["metadata": metadata]))
        } catch  where error.isNotFound {
            return
        } catch {
            throw StoreError(error, doing: "write the \(what) of EdgeNode \(name)")
        }
    }

    // MARK: telling

    func setStatus(_ status: EdgeNodeStatus, of node: EdgeNode) async throws(StoreError) {
        let name = node.metadata.objectName
        let told = edgeNode(name)?.status
        guard told != status else { return }
        if told?.withoutWords == status.withoutWords { await pace(.edgeNodes, name) }
        try await apply(.edgeNodes, name, status.fieldValue) { remember(node: $0) }
    }

    func setStatus(_ status: PortBindingStatus, of binding: PortBinding) async throws(StoreError) {
        let name = binding.metadata.objectName
        let told = portBinding(name)?.status
        guard told != status else { return }
        if told?.withoutWords == status.withoutWords { await pace(.portBindings, name) }
        try await apply(.portBindings, name, status.fieldValue) { remember(binding: $0) }
    }

    /// Says in the status of an object that does not decode why it is left as it is.
    func setInvalid(_ resource: APIResource, _ name: ObjectName, _ condition: Condition) async throws(StoreError) {
        await pace(resource, name)
        try await apply(resource, name, invalidStatus(condition, now: Date().formatted(.iso8601))) { _ in }
    }

    /// Waits where only words changed, and changed often. What is true and what is not is told at once.
    private func pace(_ resource: APIResource, _ name: ObjectName) async {
        let wait = pacing.withLock { $0.take(kind: resource.kind, name, now: .now) }
        if wait > .zero { try? await Task.sleep(for: wait) }
    }

    private func apply(
        _ resource: APIResource, _ name: ObjectName, _ status: FieldValue, then remember: (FieldNode) -> Void
    ) async throws(StoreError) {
        try checkLeadership()
        let object: FieldValue = [
            "apiVersion": .string(resource.apiVersion), "kind": .string(resource.kind),
            "metadata": ["name": .string(name.name), "namespace": .string(name.namespace)], "status": status,
        ]
        do throws(APIError) {
            remember(try await server.apply(resource, name, subresource: "status", object, force: true))
        } catch  where error.isNotFound {
            return
        } catch {
            throw StoreError(error, doing: "write the status of \(resource.kind) \(name)")
        }
    }

    func record(_ event: ResourceEvent) async {
        guard mayWrite() else { return }
        let uid =
            event.kind == EdgeNode.kind
            ? resources.nodes.observed(event.name)?.uid : resources.bindings.observed(event.name)?.uid
        events.record(EventDraft(event, uid: uid ?? ""))
    }

    private func remember(node answer: FieldNode) {
        guard let node = EdgeNode.decode(answer, unknownFields: .ignored).value else { return }
        written.withLock { $0.nodes.remember(node) { resources.nodes.observed($0)?.object?.node } }
    }

    private func remember(binding answer: FieldNode) {
        guard let binding = PortBinding.decode(answer, unknownFields: .ignored).value else { return }
        written.withLock { $0.bindings.remember(binding) { resources.bindings.observed($0)?.object } }
    }

    private func checkLeadership() throws(StoreError) {
        guard mayWrite() else { throw .leadershipLost }
    }
}

extension StoreError {
    /// What a failure of the API means for the reconcile that met it.
    init(_ error: APIError, doing attempt: String) {
        let message = "cannot \(attempt): \(error)"
        switch error {
        case .status(let status) where status.code == 403 && status.message.contains("being terminated"):
            self.init(message, reason: "NamespaceTerminating", followUp: .waiting)
        case .status(let status) where status.code == 403:
            self.init("\(message); grant it by RBAC, see deploy/kubernetes", reason: "Forbidden", followUp: .waiting)
        case .status(let status) where status.code == 404:
            self.init("\(message); create the namespace", reason: "NamespaceMissing", followUp: .waiting)
        case .status(let status) where status.code == 422 || status.code == 400:
            self.init(message, reason: "RefusedByAPIServer", followUp: .waiting)
        default: self.init(message, reason: "APIServerFailed")
        }
    }
}
