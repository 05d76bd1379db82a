import Documents
import EdgeAPI
import Enrollment
import JSON
import KubernetesAPI
import Logging
import NetworkTypes
import NodeDocument
import Reconcilers
import Sodium
import Synchronization
import UplinkWorkload

/// Writes the objects of an EdgeNode's uplinks: keys Secret, ConfigMap, Service, PodDisruptionBudget, StatefulSet.
///
/// What it wrote and found right it takes for right as long as the watches show it so (where they cannot be had, until the next
/// resync), so that a reconcile with nothing to do asks nothing. The private keys it remembers: who deletes their Secret gets the same
/// keys back. An object that another EdgeNode, or nobody of Tidegate, owns is never touched.
final class UplinkWriter: Sendable {
    let server: APIServer
    private let settings: UplinkPodSettings
    private let sight: @Sendable (APIResource, ObjectName) -> Sight
    private let logger: Logger
    let known = Mutex<[ObjectName: Known]>([:])

    struct Known {
        /// Nil until it was looked which are whose.
        var names: UplinkNames?
        /// By kind; the Secret's too.
        var objects: [String: KnownObject] = [:]
        var publicKeys: [Int: UplinkIdentity] = [:]
        var privateKeys: [Int: WireGuardPrivateKey] = [:]
        /// Pods that have not been told yet of the document in the ConfigMap, or of a new key of their own.
        var owed = OwedWords()
    }

    /// Races for the keys' Secret that are lost before giving up for now.
    private static let attempts = 5

    /// - Parameter sight: what the watches show of an object.
    init(
        _ server: APIServer, _ settings: UplinkPodSettings, logger: Logger,
        sight: @escaping @Sendable (APIResource, ObjectName) -> Sight = { _, _ in .unknown }
    ) {
        self.server = server
        self.settings = settings
        self.sight = sight
        self.logger = logger
    }

    // MARK: what is known

    /// How what was written last stands, all objects together: the worst.
    func standing(of node: EdgeNode) -> KnownObject.Standing {
        let names = knownNames(of: node)
        return names.all.map { standing(of: $0.resource, $0.name, names) ?? .right }.max() ?? .right
    }

    /// Nil when the object was not written yet.
    private func standing(of resource: APIResource, _ name: ObjectName, _ names: UplinkNames) -> KnownObject.Standing? {
        let sight = sight(resource, name)
        return known.withLock { $0[names.edgeNode]?.objects[resource.kind]?.standing(sight, now: .now) }
    }

    private func remember(
        _ object: FieldNode?, as value: SHA256Digest?, _ resource: APIResource, of names: UplinkNames
    ) {
        let found = KnownObject(
            value: value, resourceVersion: object?["metadata"]?["resourceVersion"]?.text ?? "",
            content: object.map { OwnedObject($0).content }, at: .now)
        known.withLock { $0[names.edgeNode, default: Known()].objects[resource.kind] = found }
    }

    // MARK: keys

    /// Public keys by ordinal, of the replicas wanted and of those whose pod is still there. Keys that are missing are made.
    /// - Returns: also what others had done to the Secret and was put right, in words.
    func keys(of node: EdgeNode) async throws(StoreError) -> (keys: [Int: UplinkIdentity], repairs: [String]) {
        let name = node.metadata.objectName
        let held = known.withLock { $0[name] }
        var names = knownNames(of: node)
        let standing = standing(of: .secrets, names.keysSecret, names)
        if let held, let standing, standing != .deviating, Set(held.publicKeys.keys) == Set(0..<node.spec.uplink.replicas) {
            return (held.publicKeys, [])
        }
        for attempt in 0..<Self.attempts {
            do {
                var secret: FieldNode?
                if attempt == 0, held?.names == nil {
                    (names, secret) = try await chooseNames(UplinkNames(of: node))
                } else {
                    secret = try await server.get(.secrets, names.keysSecret)
                }
                let keys = try UplinkKeys(
                    of: names, replicas: node.spec.uplink.replicas, pods: try await leavingPods(node, names, secret),
                    secret: secret, remembered: held?.privateKeys ?? [:])
                let answer =
                    switch keys.change {
                    case .create(let object): try await server.create(.secrets, namespace: names.namespace, object)
                    case .update(let object): try await server.update(.secrets, names.keysSecret, object)
                    case nil: secret
                    }
                remember(answer, as: nil, .secrets, of: names)
                let publicKeys = try keys.identities()
                known.withLock {
                    $0[name, default: Known()].names = names
                    $0[name, default: Known()].publicKeys = publicKeys
                    $0[name, default: Known()].privateKeys = keys.keys
                }
                await wakePodsOfOtherKeys(publicKeys, node: node)
                guard standing == .deviating, keys.change != nil else { return (publicKeys, []) }
                return (publicKeys, [drift(.secrets, names.keysSecret, found: secret, remedy: "the same keys were put back")])
            } catch let error as APIError where error.isConflict {
                // Another EdgeNode of that name may have been faster: then the names are its.
                if held?.names == nil { names = try await faster(than: names) }
            } catch {
                throw StoreError(uplink: error, doing: "keep the uplinks' keys of EdgeNode \(name)")
            }
        }
        throw StoreError("Secret \(names.keysSecret) changes all the time; who else writes it?", reason: "APIServerFailed")
    }

    /// Uplinks that the VPS knew by other keys, which nobody has any more, are to see the new ones at once.
    private func wakePodsOfOtherKeys(_ keys: [Int: UplinkIdentity], node: EdgeNode) async {
        let names = knownNames(of: node)
        let former = Dictionary(
            (node.status?.uplinks ?? []).map { ($0.name, $0.publicKey) }, uniquingKeysWith: { first, _ in first })
        let changed = keys.filter {
            former[names.pod(ordinal: $0.key).name].map { [key = $0.value.publicKey] in $0 != key } ?? false
        }
        known.withLock { $0[names.edgeNode, default: Known()].owed.keys.merge(changed.mapValues(\.publicKey)) { $1 } }
        await wakePods(of: names)
    }

    /// Pods beyond the replicas wanted that are not gone yet.
    private func leavingPods(
        _ node: EdgeNode, _ names: UplinkNames, _ secret: FieldNode?
    ) async throws(APIError) -> [String] {
        var pods: [String] = []
        for ordinal in UplinkKeys.ordinals(in: secret) where ordinal >= node.spec.uplink.replicas {
            let pod = names.pod(ordinal: ordinal)
            if try await server.get(.pods, pod) != nil { pods.append(pod.name) }
        }
        return pods
    }

    // MARK: document and workload

    /// - Returns: what others had done to the objects and was put right, in words.
    func publish(_ document: UplinkDocument, for node: EdgeNode) async throws(StoreError) -> [String] {
        let objects = UplinkObjects(of: node, settings, names: knownNames(of: node))
        var repairs: [String] = []
        do {
            let config = try objects.configMap(document: try UplinkObjects.json(of: document), hash: document.hash)
            if try await settle(config, of: objects.names, telling: &repairs) {
                known.withLock { known in
                    let ordinals = known[objects.names.edgeNode]?.publicKeys.keys.map(\.self) ?? []
                    known[objects.names.edgeNode]?.owed.documents = Set(ordinals)
                }
            }
            await wakePods(of: objects.names, document: document.hash)
            for object in objects.workload() { _ = try await settle(object, of: objects.names, telling: &repairs) }
        } catch {
            throw StoreError(uplink: error, doing: "write the uplinks of EdgeNode \(objects.names.edgeNode)")
        }
        return repairs
    }

    /// - Returns: whether the server was asked. Where it answers that nothing changed, it may have been us whose answer was lost, or
    ///   a controller that ended before it told the pods.
    private func settle(
        _ object: UplinkObject, of names: UplinkNames, telling repairs: inout [String]
    ) async throws -> Bool {
        let kind = object.resource.kind
        let digest = object.value.map { SHA256.digest(of: $0.json) }
        let standing = standing(of: object.resource, object.name, names)
        let held = standing == .deviating ? nil : known.withLock { $0[names.edgeNode]?.objects[kind] }
        if let held, held.value == digest { return false }
        let isOurChange = known.withLock { $0[names.edgeNode]?.objects[kind]?.value } != digest
        var existing: FieldNode?
        if held == nil || object.value == nil {
            existing = try await server.get(object.resource, object.name)
            if case .taken(let owner) = UplinkOwnership(of: existing, for: names) {
                throw UplinkWorkloadError.nameTaken(kind: kind, object.name, owner: owner)
            }
        }
        let before = held?.resourceVersion ?? existing?["metadata"]?["resourceVersion"]?.text
        var answer: FieldNode?
        if let value = object.value {
            answer = try await server.apply(object.resource, object.name, value, force: true)
        } else if let existing {
            try await server.delete(
                object.resource, object.name, APIPreconditions(uid: existing["metadata"]?["uid"]?.text))
        }
        remember(answer, as: digest, object.resource, of: names)
        let isChanged = before != answer?["metadata"]?["resourceVersion"]?.text
        if isChanged, standing == .deviating, !isOurChange {
            repairs.append(drift(object.resource, object.name, found: existing, remedy: "it was put back"))
        }
        if isChanged, before != nil, before != "" {
            logger.info(
                "an uplink object was changed",
                metadata: ["edgeNode": "\(names.edgeNode)", "kind": "\(kind)", "name": "\(object.name)"])
        }
        return true
    }

    /// - Parameter found: as it was; nil when it was gone.
    private func drift(_ resource: APIResource, _ name: ObjectName, found: FieldNode?, remedy: String) -> String {
        guard let found else { return "\(resource.kind) \(name) was deleted by somebody; \(remedy)" }
        let writer = lastWriter(of: found).map { "by \(printable($0))" } ?? "by somebody"
        return "\(resource.kind) \(name) was changed \(writer); \(remedy)"
    }

    /// A pod's kubelet looks at the pod's volumes at once when the pod changes, and within a minute or so otherwise. Pods that could not
    /// be told stay owed to the next reconcile.
    /// - Parameter document: what is in the ConfigMap; nil while that is not to be told.
    private func wakePods(of names: UplinkNames, document: SHA256Digest? = nil) async {
        let owed = known.withLock { $0[names.edgeNode]?.owed } ?? OwedWords()
        let told = await withTaskGroup(of: (OwedWords.Word, Bool).self, returning: [OwedWords.Word].self) { group in
            for (word, patch) in owed.patches(document: document) {
                let pod = names.pod(ordinal: word.ordinal)
                group.addTask { (word, await self.tell(pod, patch)) }
            }
            return await group.reduce(into: []) { if $1.1 { $0.append($1.0) } }
        }
        known.withLock { known in
            for word in told { known[names.edgeNode]?.owed.remove(word) }
        }
    }

    /// - Returns: whether the pod knows, or is not there.
    private func tell(_ pod: ObjectName, _ patch: FieldValue) async -> Bool {
        do throws(APIError) {
            try await server.mergePatch(.pods, pod, patch)
            return true
        } catch  where error.isNotFound {
            return true
        } catch {
            logger.warning(
                "the pod was not told of its new configuration; its kubelet finds it within two minutes, unless the next try comes first",
                metadata: ["pod": "\(pod)", "error": "\(error)"])
            return false
        }
    }

    // MARK: the end

    /// Removes what is ours, as far as it can be: one that is in the way keeps no other.
    func withdraw(_ node: EdgeNode) async throws(StoreError) {
        let names = UplinkNames(of: node)
        // Also where it fails: one that is let go all the same may come back under its name, and finds nothing.
        let chosen = known.withLock { $0.removeValue(forKey: names.edgeNode)?.names }
        var obstacles: [StoreError] = []
        // What they are called is looked for in vain where that was never known.
        for (resource, name) in chosen?.all ?? names.all + names.qualified.all {
            do throws(APIError) {
                try await remove(resource, name, of: names)
            } catch {
                // Whoever removes the namespace takes the rights in it first.
                if await isGoing(namespace: names.namespace, error) { break }
                obstacles.append(StoreError(error, doing: "remove \(resource.kind) \(name)"))
                // It would be the same for each.
                if error.status == nil { break }
            }
        }
        if let first = obstacles.first {
            // One that will not pass by itself is the one to tell.
            var told = obstacles.first { $0.followUp != .retry } ?? first
            if obstacles.count > 1 { told.message += " (and \(obstacles.count - 1) more of its uplinks' objects)" }
            throw told
        }
    }

    private func remove(_ resource: APIResource, _ name: ObjectName, of names: UplinkNames) async throws(APIError) {
        let existing = try await server.get(resource, name)
        guard case .ours = UplinkOwnership(of: existing, for: names) else { return }
        // One that is on its way out already needs nobody.
        guard existing?["metadata"]?["deletionTimestamp"] == nil else { return }
        try await server.delete(resource, name, APIPreconditions(uid: existing?["metadata"]?["uid"]?.text))
    }

    /// Whether all that is in the namespace goes with it, or has gone.
    private func isGoing(namespace: String, _ error: APIError) async -> Bool {
        guard let code = error.status?.code, code == 403 || code == 404 else { return false }
        do throws(APIError) {
            guard let found = try await server.get(.namespaces, ObjectName(namespace: "", name: namespace)) else { return true }
            return found["metadata"]?["deletionTimestamp"] != nil
        } catch {
            logger.debug("the namespace cannot be looked at", metadata: ["namespace": "\(namespace)", "error": "\(error)"])
            return false
        }
    }
}

extension StoreError {
    fileprivate init(uplink error: any Error, doing attempt: String) {
        switch error {
        case let error as APIError: self.init(error, doing: attempt)
        case let error as UplinkWorkloadError: self.init("\(error)", reason: error.reason, followUp: .waiting)
        default: self.init("cannot \(attempt): \(error)")
        }
    }
}
