import Documents
import EdgeAPI
import Informers
import KubernetesAPI
import Logging
import RemoteWorkload
import ServiceLifecycle

/// An EdgeNode as the controller follows it.
struct WatchedNode: Sendable {
    var node: EdgeNode
    /// Who set the annotation `restart-envoy`, and when: the same until it is set anew. Nil when it is not set.
    var restartRequest: String?

    static func decode(_ object: FieldNode) -> Decoded<WatchedNode> {
        let decoded = EdgeNode.decode(object, unknownFields: .ignored)
        return Decoded(
            value: decoded.value.map { WatchedNode(node: $0, restartRequest: restartRequest(object, $0)) },
            problems: decoded.problems)
    }

    /// A status write changes the resourceVersion, so the request is known by the server's record of who owns the annotation.
    private static func restartRequest(_ object: FieldNode, _ node: EdgeNode) -> String? {
        guard let value = node.metadata.annotations[APIName.restartEnvoyAnnotation] else { return nil }
        let setters = (object["metadata"]?["managedFields"]?.items ?? []).filter {
            $0["fieldsV1"]?["f:metadata"]?["f:annotations"]?["f:\(APIName.restartEnvoyAnnotation)"] != nil
        }
        let times = setters.compactMap { setter in setter["time"]?.text.map { "\(setter["manager"]?.text ?? "") at \($0)" } }
        return "\(value) by \(times.sorted().last ?? node.metadata.resourceVersion)"
    }
}

/// All that the controller follows: EdgeNodes and PortBindings, and the Secrets and Services that they name.
struct WatchedResources: Sendable {
    let nodes: InformerGroup<WatchedNode>
    let bindings: InformerGroup<PortBinding>
    /// A cluster whose definitions are of a former release has none.
    let remoteServices: InformerGroup<RemoteService>
    let secrets: WatchSet<Secret>
    let services: WatchSet<EdgeAPI.Service>
    /// Of the namespaces where some binding asks for a Service's endpoints: all of each, of which the ready IPv4 addresses and the ports
    /// are kept.
    let slices: NamespaceWatches<EndpointSlice>
    let endpointWishes = EndpointWishes()
    /// Where Secrets may be read; empty for everywhere.
    let secretNamespaces: Set<String>

    private static let nodesBySecret = ObjectIndex<WatchedNode>("secret") { watched in
        Array(watched.node.secretNames)
    }
    private static let nodesByNamespace = ObjectIndex<WatchedNode>("namespace") { watched in
        [ObjectName(namespace: watched.node.metadata.namespace, name: "")]
    }
    private static let bindingsByNode = ObjectIndex<PortBinding>("edgeNode") { [$0.edgeNodeName] }
    private static let bindingsBySecret = ObjectIndex<PortBinding>("secret") { Array($0.secretNames) }
    static let slicesByService = ObjectIndex<EndpointSlice>("service") { $0.service.map { [$0] } ?? [] }
    private static let bindingsByService = ObjectIndex<PortBinding>("service") { Array($0.serviceNames) }

    /// - Parameters:
    ///   - namespaces: of EdgeNodes and PortBindings; empty for all.
    ///   - secretNamespaces: where Secrets may be read; empty for everywhere.
    ///   - changes: told of each change, after what is read here has it.
    init(_ server: APIServer, namespaces: [String], secretNamespaces: Set<String>, logger: Logger, changes: ResourceChanges) {
        self.secretNamespaces = secretNamespaces
        nodes = InformerGroup(
            server, .edgeNodes, namespaces: namespaces, indexes: [Self.nodesBySecret, Self.nodesByNamespace], logger: logger,
            decode: WatchedNode.decode,
            onChange: changes.node)
        bindings = InformerGroup(
            server, .portBindings, namespaces: namespaces,
            indexes: [Self.bindingsByNode, Self.bindingsBySecret, Self.bindingsByService], logger: logger,
            decode: { PortBinding.decode($0, unknownFields: .ignored) }, onChange: changes.binding)
        remoteServices = InformerGroup(
            server, .remoteServices, namespaces: namespaces, indexes: [], logger: logger,
            decode: { RemoteService.decode($0, unknownFields: .ignored) }, onChange: changes.remoteService)
        secrets = WatchSet(
            server, .secrets, parts: Secret.usedParts, logger: logger, decode: { Secret.decode($0, unknownFields: .ignored) },
            onChange: changes.secret)
        // Services are no secret: one watch a namespace, or one of all.
        services = WatchSet(
            server, .services, limits: WatchLimits(mostNames: 0, mostNamespaces: 32), logger: logger,
            decode: { EdgeAPI.Service.decode($0) }, onChange: changes.service)
        slices = NamespaceWatches(
            server, .endpointSlices, labels: EndpointSlice.serviceLabel, indexes: [Self.slicesByService], logger: logger,
            decode: { EndpointSlice.decode($0) }
        ) { notice in
            guard case .change(let change) = notice else { return changes.rights() }
            // Most changes of a slice are of what is not ready.
            if case .updated(let before, let after) = change, before.object == after.object { return }
            for service in Set(change.objects.compactMap(\.service)) { changes.service(service) }
        }
    }

    /// But for those that are going.
    func nodes(in namespace: String) -> [EdgeNode] {
        nodes.objects(Self.nodesByNamespace, ObjectName(namespace: namespace, name: "")).map(\.node)
            .filter { $0.metadata.deletionTimestamp == nil }
    }

    func bindings(of node: ObjectName) -> [PortBinding] { bindings.objects(Self.bindingsByNode, node) }

    /// The EdgeNodes whose plan depends on the Secret.
    func nodes(usingSecret name: ObjectName) -> Set<ObjectName> {
        Set(nodes.objects(Self.nodesBySecret, name).map(\.node.metadata.objectName))
            .union(bindings.objects(Self.bindingsBySecret, name).map(\.edgeNodeName))
    }

    func nodes(usingService name: ObjectName) -> Set<ObjectName> {
        Set(bindings.objects(Self.bindingsByService, name).map(\.edgeNodeName))
    }

    /// Follows the Secrets and Services that are named now, and no others.
    func followReferences() {
        var secretNames: [String: Set<ObjectName>] = [:]
        var serviceNames: [String: Set<ObjectName>] = [:]
        var endpointNamespaces: [String: Set<String>] = [:]
        for node in nodes.all.lazy.map(\.node) {
            secretNames[node.metadata.namespace, default: []].formUnion(node.secretNames)
        }
        for binding in bindings.all {
            let (secrets, services) = (binding.secretNames, binding.serviceNames)
            if !secrets.isEmpty { secretNames[binding.metadata.namespace, default: []].formUnion(secrets) }
            if !services.isEmpty { serviceNames[binding.metadata.namespace, default: []].formUnion(services) }
            let endpoints = binding.endpointNamespaces
            if !endpoints.isEmpty { endpointNamespaces[binding.metadata.namespace, default: []].formUnion(endpoints) }
        }
        if !secretNamespaces.isEmpty {
            secretNames = secretNames.mapValues { $0.filter { secretNamespaces.contains($0.namespace) } }
        }
        secrets.want(wishes: secretNames)
        services.want(wishes: serviceNames)
        if slices.problem(in: "")?.status?.code == 403 { endpointWishes.forbidCluster() }
        slices.want(endpointWishes.admit(endpointNamespaces))
    }

    func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await nodes.run() }
            group.addTask { await bindings.run() }
            group.addTask { await remoteServices.run() }
            group.addTask { await secrets.run() }
            group.addTask { await services.run() }
            group.addTask { await slices.run() }
        }
    }
}

/// Who is told of changes. Each should only take note.
struct ResourceChanges: Sendable {
    var node: @Sendable (ObjectChange<WatchedNode>) -> Void
    var binding: @Sendable (ObjectChange<PortBinding>) -> Void
    var remoteService: @Sendable (ObjectChange<RemoteService>) -> Void
    var secret: @Sendable (ObjectName) -> Void
    var service: @Sendable (ObjectName) -> Void
    /// What may be followed may be otherwise now.
    var rights: @Sendable () -> Void
}

/// One kind in all namespaces, or in some.
struct InformerGroup<Object: Sendable>: Sendable {
    /// By namespace; under "" for all.
    private let informers: [String: Informer<Object>]

    init(
        _ server: APIServer, _ resource: APIResource, namespaces: [String], indexes: [ObjectIndex<Object>], logger: Logger,
        decode: @escaping @Sendable (FieldNode) -> Decoded<Object>,
        onChange: @escaping @Sendable (ObjectChange<Object>) -> Void
    ) {
        var informers: [String: Informer<Object>] = [:]
        for namespace in namespaces.isEmpty ? [""] : namespaces {
            let selector = APISelector(namespace: namespace.isEmpty ? nil : namespace)
            informers[namespace] = Informer(
                server, resource, selector, indexes: indexes, logger: logger, decode: decode, onChange: onChange)
        }
        self.informers = informers
    }

    func observed(_ name: ObjectName) -> Observed<Object>? { (informers[""] ?? informers[name.namespace])?.observed(name) }
    var all: [Object] { informers.values.flatMap(\.all) }
    var allObserved: [Observed<Object>] { informers.values.flatMap(\.allObserved) }
    func objects(_ index: ObjectIndex<Object>, _ key: ObjectName) -> [Object] {
        informers.values.flatMap { $0.objects(index, key) }
    }
    var hasSynced: Bool { informers.values.allSatisfy(\.hasSynced) }
    /// Why some of it cannot be followed at present; nil while all can.
    var problem: APIError? { informers.values.lazy.compactMap(\.problem).first }

    func waitForSync() async throws(CancellationError) {
        for informer in informers.values { try await informer.waitForSync() }
    }

    func run() async {
        await withDiscardingTaskGroup { group in
            for informer in informers.values { group.addTask { await informer.run() } }
        }
    }
}

extension PortBinding {
    var secretNames: Set<ObjectName> {
        Set(spec.bindings.compactMap { $0.tls?.mode.secretRef?.objectName(in: metadata) })
    }

    var serviceNames: Set<ObjectName> {
        Set(spec.bindings.compactMap { $0.target.serviceReference?.objectName(in: metadata) })
    }

    /// Where the Services are whose endpoints it asks for.
    var endpointNamespaces: Set<String> {
        Set(
            spec.bindings.compactMap { binding in
                guard case .service(let reference, _, .endpoints) = binding.target else { return nil }
                return reference.objectName(in: metadata).namespace
            })
    }
}
