import Documents
import EdgeAPI
import Informers
import KubernetesAPI
import Logging
import NetworkTypes
import Reconcilers
import RemoteWorkload

/// A gateway's Deployment, as far as it is kept.
struct WatchedDeployment: Hashable, Sendable {
    var owned: OwnedObject
    /// A pod of the present template, or of the one before, is ready.
    var isAvailable: Bool
    /// Why there is none, as the Deployment says it.
    var trouble: String?

    init(_ object: FieldNode) {
        owned = OwnedObject(object)
        let status = object["status"]
        isAvailable = (status?["availableReplicas"]?.integer ?? 0) > 0
        let failed = status?["conditions"]?.items?.first { $0["type"]?.text == "ReplicaFailure" && $0["status"]?.text == "True" }
        trouble = failed?["message"]?.text.map { printable($0, limit: 300) }
    }

    static func decode(_ object: FieldNode) -> Decoded<WatchedDeployment> {
        Decoded(value: WatchedDeployment(object), problems: [])
    }
}

/// A gateway's pod, as far as it is kept.
struct GatewayPod: Hashable, Sendable {
    var name: ObjectName
    var owner: ObjectName
    var pod: UplinkPods.Pod

    static func decode(_ object: FieldNode) -> Decoded<GatewayPod> {
        let metadata = object["metadata"]
        guard let name = metadata?["name"]?.text, let namespace = metadata?["namespace"]?.text,
            let owner = metadata?["labels"]?[RemoteNames.instanceLabel]?.text
        else {
            return Decoded(
                value: nil, problems: [FieldProblem(path: "metadata.labels", position: nil, message: "names no RemoteService")])
        }
        let pod = GatewayPod(
            name: ObjectName(namespace: namespace, name: name), owner: ObjectName(namespace: namespace, name: owner),
            pod: UplinkPods.Pod(object))
        return Decoded(value: pod, problems: [])
    }
}

/// Watches what belongs to RemoteServices, by label.
final class RemoteObjectWatches: Sendable {
    private let objects: [NamespaceWatches<OwnedObject>]
    private let deployments: NamespaceWatches<WatchedDeployment>
    private let pods: NamespaceWatches<GatewayPod>

    private static let podsByOwner = ObjectIndex<GatewayPod>("remoteService") { [$0.owner] }

    /// - Parameters:
    ///   - changed: somebody changed something of that RemoteService.
    ///   - looked: its gateway may be there now, or not any more.
    init(
        _ server: APIServer, logger: Logger, changed: @escaping @Sendable (ObjectName) -> Void,
        looked: @escaping @Sendable (ObjectName) -> Void
    ) {
        @Sendable func owner(_ name: ObjectName, _ suffixes: [String]) -> [ObjectName] {
            suffixes.filter { name.name.hasSuffix($0) }.map {
                ObjectName(namespace: name.namespace, name: String(name.name.dropLast($0.utf8.count)))
            }
        }
        objects =
            ([(.services, [""]), (.secrets, ["-gateway", "-join"]), (.ingresses, ["-gateway"])] as [(APIResource, [String])]).map
        {
            resource, suffixes in
            NamespaceWatches(
                server, resource, labels: RemoteNames.managedSelector, logger: logger, decode: OwnedObject.decode
            ) { notice in
                guard case .change(let change) = notice else { return }
                if case .updated(let before, let after) = change, before.object?.content == after.object?.content { return }
                for one in owner(change.name, suffixes) { changed(one) }
            }
        }
        deployments = NamespaceWatches(
            server, .deployments, labels: RemoteNames.managedSelector, logger: logger, decode: WatchedDeployment.decode
        ) { notice in
            guard case .change(let change) = notice else { return }
            for one in owner(change.name, ["-gateway"]) {
                if case .updated(let before, let after) = change, before.object?.owned.content == after.object?.owned.content {
                    looked(one)
                } else {
                    changed(one)
                }
            }
        }
        pods = NamespaceWatches(
            server, .pods, labels: RemoteNames.managedSelector, indexes: [Self.podsByOwner], logger: logger,
            decode: GatewayPod.decode
        ) { notice in
            guard case .change(let change) = notice else { return }
            if case .updated(let before, let after) = change, before.object == after.object { return }
            for owner in Set(change.objects.map(\.owner)) { looked(owner) }
        }
    }

    /// The gateway's pods of a RemoteService that are not leaving; nil while it is unknown which there are.
    func pods(of owner: ObjectName) -> [GatewayPod]? {
        pods.observed(Self.podsByOwner, owner, in: owner.namespace)?.compactMap(\.object).filter { !$0.pod.isLeaving }
    }

    /// Follows these namespaces, and no others.
    func follow(_ namespaces: Set<String>) {
        for watches in objects { watches.want(namespaces) }
        deployments.want(namespaces)
        pods.want(namespaces)
    }

    func deployment(_ name: ObjectName) -> NamespaceWatches<WatchedDeployment>.Knowledge { deployments.get(name) }

    func run() async {
        await withDiscardingTaskGroup { group in
            for watches in objects { group.addTask { await watches.run() } }
            group.addTask { await self.deployments.run() }
            group.addTask { await self.pods.run() }
        }
    }
}
