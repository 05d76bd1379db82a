import Documents
import EdgeAPI
import Informers
import KubernetesAPI
import Logging
import Reconcilers
import Sodium
import UplinkWorkload

/// An object of some EdgeNode's uplinks, as far as it is compared: a digest of all but what others keep changing in it.
struct OwnedObject: Hashable, Sendable {
    /// The EdgeNode that it belongs to; nil when it says none.
    var owner: ObjectName?
    var content: SHA256Digest

    static func decode(_ object: FieldNode) -> Decoded<OwnedObject> {
        Decoded(value: OwnedObject(object), problems: [])
    }

    init(_ object: FieldNode) {
        owner = object.edgeNode
        var hash = SHA256()
        object.hash(into: &hash, without: ["status", "apiVersion", "kind"])
        content = hash.finish()
    }
}

/// What the watches show of an object of ours.
enum Sight: Equatable, Sendable {
    /// It cannot be followed, or not yet.
    case unknown
    case absent
    case present(resourceVersion: String, OwnedObject)
}

/// Watches what belongs to the uplinks of all EdgeNodes: one watch per kind and namespace of uplinks, by label. Of the objects it keeps
/// a digest, of the pods what `UplinkPods` asks for.
final class OwnedObjects: Sendable {
    private let objects: [APIResource: NamespaceWatches<OwnedObject>]
    private let pods: NamespaceWatches<WatchedPod>

    private static let podsByNode = ObjectIndex<WatchedPod>("edgeNode") { [$0.owner] }
    /// What the uplinks are made of, but for the pods.
    private static let resources: [APIResource] = [.statefulSets, .podDisruptionBudgets, .services, .configMaps, .secrets]

    /// Who is told, each of which should only take note.
    struct Listener: Sendable {
        /// An object of the EdgeNode has another content, or is gone.
        var object: @Sendable (_ owner: ObjectName) -> Void
        var pod: @Sendable (_ owner: ObjectName) -> Void
        /// It may be known now which pods there are in the namespace, or not be known any more.
        var pods: @Sendable (_ namespace: String) -> Void
    }

    init(_ server: APIServer, logger: Logger, listener: Listener) {
        var objects: [APIResource: NamespaceWatches<OwnedObject>] = [:]
        for resource in Self.resources {
            objects[resource] = NamespaceWatches(
                server, resource, labels: UplinkNames.managedSelector, logger: logger, decode: OwnedObject.decode
            ) { notice in
                guard case .change(let change) = notice else { return }
                let seen = change.objects
                // The status, and what a controller counts in it.
                guard Set(seen.map(\.content)).count != 1 || seen.count == 1 else { return }
                for owner in Set(seen.compactMap(\.owner)) { listener.object(owner) }
            }
        }
        self.objects = objects
        pods = NamespaceWatches(
            server, .pods, labels: UplinkNames.podSelector, indexes: [Self.podsByNode], logger: logger, decode: WatchedPod.decode
        ) { notice in
            switch notice {
            case .change(let change):
                if case .updated(let before, let after) = change, before.object == after.object { return }
                for owner in Set(change.objects.map(\.owner)) { listener.pod(owner) }
            case .condition(let namespace): listener.pods(namespace)
            }
        }
    }

    /// Namespaces of uplinks that are followed for the EdgeNodes of one namespace; each takes some watches, and may be made up.
    static let mostNamespaces = 8

    /// Where the uplinks of these EdgeNodes are to be followed: of more namespaces than `mostNamespaces` those of the oldest. What is of the
    /// others is looked at with each resync.
    static func namespaces(of nodes: some Sequence<EdgeNode>) -> Set<String> {
        var oldest: [String: [String: String]] = [:]
        for node in nodes {
            let (tenant, namespace, time) = (
                node.metadata.namespace, node.spec.uplink.namespace, node.metadata.creationTimestamp
            )
            oldest[tenant, default: [:]][namespace] = min(oldest[tenant]?[namespace] ?? time, time)
        }
        var result: Set<String> = []
        for namespaces in oldest.values {
            guard namespaces.count > mostNamespaces else {
                result.formUnion(namespaces.keys)
                continue
            }
            let byAge = namespaces.sorted { ($0.value, $0.key) < ($1.value, $1.key) }
            result.formUnion(byAge.prefix(mostNamespaces).map(\.key))
        }
        return result
    }

    /// Follows these namespaces, and no others.
    func follow(_ namespaces: Set<String>) {
        for watches in objects.values { watches.want(namespaces) }
        pods.want(namespaces)
    }

    func run() async {
        await withDiscardingTaskGroup { group in
            for watches in objects.values { group.addTask { await watches.run() } }
            group.addTask { await self.pods.run() }
        }
    }

    func sight(of resource: APIResource, _ name: ObjectName) -> Sight {
        switch objects[resource]?.get(name) {
        case nil, .unknown: .unknown
        case .absent: .absent
        case .known(let observed):
            observed.object.map { .present(resourceVersion: observed.resourceVersion, $0) } ?? .unknown
        }
    }

    /// The pods of an EdgeNode's uplinks by ordinal; nil while it is unknown which there are.
    func pods(of names: UplinkNames) -> [Int: UplinkPods.Pod]? {
        guard let observed = pods.observed(Self.podsByNode, names.edgeNode, in: names.namespace) else { return nil }
        var result: [Int: UplinkPods.Pod] = [:]
        for one in observed {
            // They may be told of before it is known what they are called.
            guard let ordinal = names.ordinal(ofPod: one.name.name) ?? names.qualified.ordinal(ofPod: one.name.name),
                let pod = one.object?.pod
            else { continue }
            result[ordinal] = pod
        }
        return result
    }
}

extension FieldNode {
    /// The EdgeNode that the object says it belongs to.
    var edgeNode: ObjectName? {
        let words = self["metadata"]?["annotations"]?[UplinkNames.edgeNodeAnnotation]?.text?.split(separator: "/") ?? []
        return words.count == 2 ? ObjectName(namespace: String(words[0]), name: String(words[1])) : nil
    }

    /// What the server counts and dates: it differs where nothing of an object's content does.
    private static let kept: Set<String> = [
        "resourceVersion", "managedFields", "generation", "uid", "creationTimestamp", "selfLink",
    ]

    /// - Parameter left: names of the topmost mapping that are left out.
    fileprivate func hash(into hash: inout SHA256, without left: Set<String>, depth: Int = 0) {
        func add(_ kind: Unicode.Scalar, _ text: String) { hash.update(Array("\(kind)\(text.utf8.count):\(text)".utf8)) }
        switch content {
        case .null: add("n", "")
        case .bool(let value): add("b", "\(value)")
        case .integer(let value): add("i", "\(value)")
        case .number(let value): add("d", "\(value)")
        case .string(let value): add("s", value)
        case .sequence(let values):
            add("[", "\(values.count)")
            for value in values { value.hash(into: &hash, without: [], depth: depth + 1) }
        case .mapping(let entries):
            let counted = entries.filter { !left.contains($0.key) }.sorted { $0.key < $1.key }
            add("{", "\(counted.count)")
            for entry in counted {
                add("k", entry.key)
                let isMetadata = depth == 0 && entry.key == "metadata"
                entry.value.hash(into: &hash, without: isMetadata ? Self.kept : [], depth: depth + 1)
            }
        }
    }
}
