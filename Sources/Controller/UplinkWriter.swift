import EdgeAPI
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
/// What it wrote and found right it takes for right until the next resync, so that a reconcile with nothing to do asks nothing.
/// An object that another EdgeNode, or nobody of Tidegate, owns is never touched.
final class UplinkWriter: Sendable {
    private let server: APIServer
    private let settings: UplinkPodSettings
    private let logger: Logger
    private let known = Mutex<[ObjectName: Known]>([:])

    private struct Known {
        /// By kind.
        var objects: [String: KnownObject] = [:]
        var keys: (keys: [Int: WireGuardPublicKey], at: ContinuousClock.Instant)?
    }

    private struct KnownObject {
        /// What was asked for; nil for the absence of the object.
        var value: SHA256Digest?
        var resourceVersion: String
        /// When the server was last asked.
        var at: ContinuousClock.Instant
    }

    /// Races for the keys' Secret that are lost before giving up for now.
    private static let attempts = 5

    init(_ server: APIServer, _ settings: UplinkPodSettings, logger: Logger) {
        self.server = server
        self.settings = settings
        self.logger = logger
    }

    /// Nothing is taken for right any more: for a new leader.
    func forgetAll() { known.withLock { $0 = [:] } }

    // MARK: keys

    /// Public keys by ordinal, of the replicas wanted and of those whose pod is still there. Keys that are missing are made.
    func keys(of node: EdgeNode) async throws(StoreError) -> [Int: WireGuardPublicKey] {
        let name = node.metadata.objectName
        if let held = known.withLock({ $0[name]?.keys }), ContinuousClock.now - held.at < EdgeNodeReconciler.resync,
            Set(held.keys.keys) == Set(0..<node.spec.uplink.replicas)
        {
            return held.keys
        }
        let names = UplinkNames(of: node)
        for _ in 0..<Self.attempts {
            let keys: UplinkKeys
            do {
                let secret = try await server.get(.secrets, names.keysSecret)
                keys = try UplinkKeys(
                    of: names, replicas: node.spec.uplink.replicas, pods: try await leavingPods(node, names, secret),
                    secret: secret)
                switch keys.change {
                case .create(let object): try await server.create(.secrets, namespace: names.namespace, object)
                case .update(let object): try await server.update(.secrets, names.keysSecret, object)
                case nil: break
                }
                let publicKeys = try keys.publicKeys()
                known.withLock { $0[name, default: Known()].keys = (publicKeys, .now) }
                return publicKeys
            } catch let error as APIError where error.isConflict {
                continue
            } catch {
                throw StoreError(uplink: error, doing: "keep the uplinks' keys of EdgeNode \(name)")
            }
        }
        throw StoreError("Secret \(names.keysSecret) changes all the time; who else writes it?", reason: "APIServerFailed")
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

    func publish(_ document: UplinkDocument, for node: EdgeNode) async throws(StoreError) {
        let objects = UplinkObjects(of: node, settings)
        do {
            let config = try objects.configMap(document: try DocumentJSON.encode(document), hash: document.hash)
            if try await settle(config, of: objects.names) { await wakePods(of: objects, hash: document.hash) }
            for object in objects.workload() { _ = try await settle(object, of: objects.names) }
        } catch {
            throw StoreError(uplink: error, doing: "write the uplinks of EdgeNode \(objects.names.edgeNode)")
        }
    }

    /// - Returns: whether an object that was there before has changed.
    private func settle(_ object: UplinkObject, of names: UplinkNames) async throws -> Bool {
        let kind = object.resource.kind
        let digest = object.value.map { SHA256.digest(of: $0.json) }
        var held = known.withLock { $0[names.edgeNode]?.objects[kind] }
        if let at = held?.at, ContinuousClock.now - at >= EdgeNodeReconciler.resync { held = nil }
        if let held, held.value == digest { return false }
        var before = held?.resourceVersion
        var uid: String?
        if held == nil || object.value == nil {
            let existing = try await server.get(object.resource, object.name)
            if case .taken(let owner) = UplinkOwnership(of: existing, for: names) {
                throw UplinkWorkloadError.nameTaken(kind: kind, object.name, owner: owner)
            }
            before = existing?["metadata"]?["resourceVersion"]?.text
            uid = existing?["metadata"]?["uid"]?.text
        }
        var after = ""
        if let value = object.value {
            let answer = try await server.apply(object.resource, object.name, value, force: true)
            after = answer["metadata"]?["resourceVersion"]?.text ?? ""
        } else if let uid {
            try await server.delete(object.resource, object.name, APIPreconditions(uid: uid))
        }
        let found = KnownObject(value: digest, resourceVersion: after, at: .now)
        known.withLock { $0[names.edgeNode, default: Known()].objects[kind] = found }
        if let before, before != after {
            logger.info(
                "an uplink object was changed",
                metadata: ["edgeNode": "\(names.edgeNode)", "kind": "\(kind)", "name": "\(object.name)"])
            return true
        }
        return false
    }

    /// A pod's kubelet looks at the pod's volumes at once when the pod changes, and within a minute or so otherwise.
    private func wakePods(of objects: UplinkObjects, hash: SHA256Digest) async {
        let server = server
        let logger = logger
        let patch = UplinkObjects.podPatch(hash: hash)
        let ordinals = known.withLock { $0[objects.names.edgeNode]?.keys?.keys.keys.sorted() } ?? []
        await withDiscardingTaskGroup { group in
            for ordinal in ordinals {
                let pod = objects.names.pod(ordinal: ordinal)
                group.addTask {
                    do throws(APIError) {
                        try await server.mergePatch(.pods, pod, patch)
                    } catch  where error.isNotFound {
                        return
                    } catch {
                        logger.warning(
                            "the pod was not told of its new configuration; its kubelet finds it within two minutes",
                            metadata: ["pod": "\(pod)", "error": "\(error)"])
                    }
                }
            }
        }
    }

    // MARK: the end

    func withdraw(_ node: EdgeNode) async throws(StoreError) {
        let names = UplinkNames(of: node)
        do {
            for (resource, name) in names.all {
                let existing = try await server.get(resource, name)
                guard case .ours = UplinkOwnership(of: existing, for: names) else { continue }
                try await server.delete(resource, name, APIPreconditions(uid: existing?["metadata"]?["uid"]?.text))
            }
        } catch {
            throw StoreError(uplink: error, doing: "remove the uplinks of EdgeNode \(names.edgeNode)")
        }
        known.withLock { $0[names.edgeNode] = nil }
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
