import Documents
import EdgeAPI
import EventRecording
import FoundationEssentials
import Informers
import JSON
import KubernetesAPI
import Logging
import NetworkTypes
import Reconcilers
import RemoteDocuments
import RemoteWorkload
import Sodium
import Synchronization
import UplinkWorkload

/// Makes what belongs to a RemoteService (keys, Service, gateway, and where its remote comes in), and tells what is so.
///
/// What it promises:
/// - All objects are owned by the RemoteService and go with it. One that bears such a name and is not owned by it is never touched.
/// - Keys are made once. A change of ports goes to the gateway by its Secret, and restarts nothing.
/// - What others change is put back: the watches say that something was, and the next turn writes all anew.
final class RemoteServiceReconciler: Sendable {
    struct Settings: Sendable {
        var image: String
        var environment: [String: String]
        /// Whether gateways with a mesh get CAP_MKNOD.
        var makesDevices: Bool
        /// For hosts that no RemoteService names; nil for none.
        var wildcardDomain: String?
        /// For the command of wstunnel, with `%s` three times; nil for ours.
        var wstunnelCommand: String?
    }

    /// What was written, and by it is not written again.
    private struct Written {
        /// By kind and name, of the value.
        var digests: [String: SHA256Digest] = [:]
        /// From when on it counts no more.
        var end = ContinuousClock.now + RemoteServiceReconciler.memory
    }

    private let server: APIServer
    private let settings: Settings
    private let resources: WatchedResources
    private let objects: RemoteObjectWatches
    private let events: EventRecorder
    private let mayWrite: @Sendable () -> Bool
    private let logger: Logger
    private let written = Mutex<[ObjectName: Written]>([:])

    /// Until the next look: while something is to become otherwise, and while all is well. The gateway tells nobody by itself whether its
    /// remote is there.
    private static let quickPace = Duration.seconds(2)
    private static let pace = Duration.seconds(5)
    /// Until the next look where something is in the way.
    private static let slowPace = Duration.seconds(10)
    /// How long what was written is taken for what is there, where nothing tells of a change.
    static let memory = Duration.seconds(180)
    /// Pods of a gateway that are looked at: one, and those of a change.
    private static let mostPods = 16

    init(
        _ server: APIServer, _ settings: Settings, resources: WatchedResources, objects: RemoteObjectWatches,
        events: EventRecorder,
        mayWrite: @escaping @Sendable () -> Bool, logger: Logger
    ) {
        self.server = server
        self.settings = settings
        self.resources = resources
        self.objects = objects
        self.events = events
        self.mayWrite = mayWrite
        self.logger = logger
    }

    /// Something of it was changed by somebody.
    func forget(_ name: ObjectName) { written.withLock { $0[name]?.digests = [:] } }

    func reconcile(_ name: ObjectName) async -> ReconcileOutcome {
        guard let observed = resources.remoteServices.observed(name) else {
            written.withLock { $0[name] = nil }
            return .done(requeueAfter: nil)
        }
        switch observed.content {
        case .invalid(let metadata, let problems):
            let words = problems.map { "\($0.path): \($0.message)" }.joined(separator: "; ")
            let verdict = RemoteVerdict(
                failure: RemoteFault(reason: "InvalidSpec", message: "\(words); correct it, until then nothing is changed for it")
            )
            return await tell(verdict, of: metadata, former: nil, ports: [])
        case .valid(let service):
            // What is owned goes by itself.
            guard service.metadata.deletionTimestamp == nil else { return .done(requeueAfter: nil) }
            return await reconcile(service)
        }
    }

    private func reconcile(_ service: RemoteService) async -> ReconcileOutcome {
        var verdict = RemoteVerdict()
        do {
            try checkLeadership()
            verdict = try await settle(service)
        } catch let fault as RemoteFault {
            verdict.failure = fault
        } catch let error as APIError {
            let told = StoreError(error, doing: "keep the objects of RemoteService \(service.metadata.objectName)")
            verdict.failure = RemoteFault(reason: told.reason, message: told.message)
        } catch let error as StoreError where error.reason == StoreError.leadershipLost.reason {
            return .failed
        } catch {
            verdict.failure = RemoteFault(reason: "Failed", message: "\(error)")
        }
        if let failure = verdict.failure, service.status?.conditions["GatewayReady"]?.message != failure.message {
            logger.warning(
                "a RemoteService cannot be served",
                metadata: ["name": "\(service.metadata.objectName)", "reason": "\(failure.message)"])
        }
        return await tell(verdict, of: service.metadata, former: service.status, ports: service.spec.ports)
    }

    // MARK: what is made

    private func settle(_ service: RemoteService) async throws -> RemoteVerdict {
        let wanted = RemoteObjects(
            of: service, image: settings.image, environment: settings.environment, makesDevices: settings.makesDevices)
        let name = service.metadata.objectName
        written.withLock { if let known = $0[name], known.end < .now { $0[name] = nil } }
        let secrets = try await secrets(of: service, wanted)
        var verdict = RemoteVerdict()
        let place = place(of: service)
        verdict.host = place.host
        let workload = wanted.workload(host: place.host, gatewayKey: secrets.gatewayKey.pin)
        for object in workload { try await settle(object, of: service) }
        if let fault = place.fault { throw fault.keeping(host: place.host) }
        guard let address = place.address else { throw RemoteFault(reason: "HostMissing", message: "there is no host") }
        verdict.url = address.url
        let commands = JoinCommands(of: service, secrets, at: address)
        try await settle(wanted.joinSecret(try commands.entries(wstunnel: settings.wstunnelCommand)), of: service)
        verdict.joinSecret = wanted.names.joinSecret.name
        verdict.gateway = try await gatewayTrouble(service, wanted.names)
        // The one that serves, or will.
        let pods = try await gatewayPods(of: name)
        if let address = (pods.first { $0.pod.isReady } ?? pods.first)?.pod.address {
            verdict.report = await GatewayQuestion().report(at: address)
        }
        return verdict
    }

    /// The keys that are there, or new ones; and the gateway's Secret with the document.
    private func secrets(of service: RemoteService, _ wanted: RemoteObjects) async throws -> RemoteSecrets {
        let name = wanted.names.gatewaySecret
        for _ in 0..<3 {
            let existing = try await server.get(.secrets, name)
            if let existing {
                try checkOwner(of: existing, .secrets, name, service)
                guard let secrets = RemoteSecrets(of: existing) else {
                    throw RemoteFault(
                        reason: "KeysInvalid",
                        message: "Secret \(name) holds keys that are none; remove it, and the remote is given new ones")
                }
                let object = try wanted.gatewaySecret(secrets)
                if try await settle(object, of: service, existing: existing) { await wakePods(of: service, object) }
                return secrets
            }
            let secrets = try RemoteSecrets.generate()
            guard let value = try wanted.gatewaySecret(secrets).value else { break }
            if try await create(value, name) { return secrets }
        }
        throw RemoteFault(reason: "APIServerFailed", message: "Secret \(name) changes all the time; who else writes it?")
    }

    /// - Returns: false where somebody was faster.
    private func create(_ value: FieldValue, _ name: ObjectName) async throws -> Bool {
        do throws(APIError) {
            try await server.create(.secrets, namespace: name.namespace, value)
            return true
        } catch {
            guard error.isConflict else { throw error }
            return false
        }
    }

    private func checkOwner(
        of existing: FieldNode, _ resource: APIResource, _ name: ObjectName, _ service: RemoteService
    ) throws(RemoteFault) {
        guard existing.isOwned(by: service.metadata.uid) else {
            throw RemoteFault(
                reason: "NameTaken",
                message:
                    "\(resource.kind) \(name) is there already and not this RemoteService's, so it is left alone: remove it, or give "
                    + "the RemoteService another name")
        }
    }

    /// - Returns: whether it was written.
    @discardableResult private func settle(
        _ object: RemoteObjects.Object, of service: RemoteService, existing: FieldNode? = nil
    ) async throws -> Bool {
        let owner = service.metadata.objectName
        let key = "\(object.resource.kind) \(object.name)"
        let digest = SHA256.digest(of: object.value?.json ?? "")
        if written.withLock({ $0[owner]?.digests[key] == digest }) { return false }
        let found = existing == nil ? try await get(object) : existing
        if let found, object.value != nil { try checkOwner(of: found, object.resource, object.name, service) }
        if let value = object.value {
            try await apply(object, value)
        } else if let found, found.isOwned(by: service.metadata.uid) {
            try await server.delete(object.resource, object.name, APIPreconditions(uid: found["metadata"]?["uid"]?.text))
        }
        written.withLock { $0[owner, default: Written()].digests[key] = digest }
        return true
    }

    /// A pod's kubelet looks at the pod's volumes at once when the pod changes, and within a minute or so otherwise.
    private func wakePods(of service: RemoteService, _ secret: RemoteObjects.Object) async {
        let hash = SHA256.digest(of: secret.value?.json ?? "").description
        let patch: FieldValue = ["metadata": ["annotations": .texts([UplinkNames.configHashAnnotation: hash])]]
        for pod in (try? await gatewayPods(of: service.metadata.objectName)) ?? [] {
            do throws(APIError) {
                try await server.mergePatch(.pods, pod.name, patch)
            } catch {
                logger.warning(
                    "the gateway's pod was not told of its new configuration; its kubelet finds it within two minutes",
                    metadata: ["pod": "\(pod.name)", "error": "\(error)"])
            }
        }
    }

    private func apply(_ object: RemoteObjects.Object, _ value: FieldValue) async throws {
        do throws(APIError) {
            try await server.apply(object.resource, object.name, value, force: true)
        } catch {
            guard error.isNotFound, object.resource == .certificates else { throw error }
            throw RemoteFault(
                reason: "CertManagerMissing",
                message:
                    "spec.gateway.ingress.issuerRef asks for a certificate of cert-manager, which this cluster does not have: install "
                    + "it, or name a Secret in tlsSecretName")
        }
    }

    private func get(_ object: RemoteObjects.Object) async throws(APIError) -> FieldNode? {
        try await server.get(object.resource, object.name)
    }

    // MARK: where the remote comes in

    private struct Place {
        var host: String?
        var address: RemoteAddress?
        var fault: RemoteFault?
    }

    private func place(of service: RemoteService) -> Place {
        switch service.spec.gateway.entrance {
        case .edgeNode(let node, let port):
            let name = ObjectName(namespace: service.metadata.namespace, name: node)
            guard let edge = resources.nodes.observed(name)?.object?.node else {
                return Place(
                    fault: RemoteFault(
                        reason: "EdgeNodeNotFound", message: "there is no EdgeNode \(name), which spec.gateway.edgeNodeRef names")
                )
            }
            return Place(
                address: RemoteAddress(host: edge.spec.address.description, port: port, isSecure: false, isHTTP: false))
        case .ingress(let ingress):
            guard let choice = RemoteHosts(resources.remoteServices.all).host(of: service, below: settings.wildcardDomain) else {
                return Place(
                    fault: RemoteFault(
                        reason: "HostMissing",
                        message:
                            "spec.gateway.ingress has no host, and the controller no wildcard domain (--wildcard-domain): name a host"
                    ))
            }
            if let other = choice.holder {
                return Place(
                    fault: RemoteFault(
                        reason: "HostTaken",
                        message: "\(choice.host) is the host of RemoteService \(other), which was there first; name another"))
            }
            return Place(
                host: choice.host,
                address: RemoteAddress(
                    host: choice.host, port: ingress.hasTLS ? .https : .http, isSecure: ingress.hasTLS, isHTTP: true))
        }
    }

    // MARK: what is so

    /// Why the gateway cannot be reached by the remote; nil where it can.
    private func gatewayTrouble(_ service: RemoteService, _ names: RemoteNames) async throws -> RemoteFault? {
        guard let deployment = try await deployment(names.deployment) else {
            return RemoteFault(reason: "GatewayStarting", message: "Deployment \(names.deployment.name) has no pod yet")
        }
        if !deployment.isAvailable {
            return RemoteFault(
                reason: "GatewayStarting",
                message: deployment.trouble ?? podTrouble(names))
        }
        switch service.spec.gateway.entrance {
        case .ingress(let ingress) where ingress.issuer != nil:
            let certificate = try await server.get(.certificates, names.certificate)
            let ready = certificate?["status"]?["conditions"]?.items?.first { $0["type"]?.text == "Ready" }
            guard ready?["status"]?.text == "True" else {
                let words = ready?["message"]?.text.map { printable($0, limit: 300) } ?? "cert-manager has said nothing of it yet"
                return RemoteFault(reason: "CertificatePending", message: "Certificate \(names.certificate.name): \(words)")
            }
            return nil
        case .edgeNode:
            let binding = resources.bindings.observed(names.portBinding)?.object
            guard let ready = binding?.status?.conditions["Ready"], ready.status == .true else {
                let words = binding?.status?.conditions["Ready"]?.message ?? "it is not programmed yet"
                return RemoteFault(reason: "EntrancePending", message: "PortBinding \(names.portBinding.name): \(words)")
            }
            return nil
        case .ingress: return nil
        }
    }

    /// Of a RemoteService in one of the namespaces that are not followed they are asked for.
    private func gatewayPods(of name: ObjectName) async throws(APIError) -> [GatewayPod] {
        if let known = objects.pods(of: name) { return known }
        let selector = APISelector(
            namespace: name.namespace, labels: "\(RemoteNames.managedSelector),\(RemoteNames.instanceLabel)=\(name.name)")
        let page = try await server.list(.pods, selector, limit: Self.mostPods)
        return page.items.compactMap { GatewayPod.decode($0).value }.filter { !$0.pod.isLeaving }
    }

    private func podTrouble(_ names: RemoteNames) -> String {
        let trouble = objects.pods(of: names.remoteService)?.lazy.compactMap(\.pod.trouble).first
        return "the gateway has no pod that is ready"
            + (trouble.map { ": \($0)" }
                ?? "; `kubectl describe pods -l app.kubernetes.io/instance=\(names.remoteService.name)` says why")
    }

    private func deployment(_ name: ObjectName) async throws(APIError) -> WatchedDeployment? {
        switch objects.deployment(name) {
        case .known(let observed): return observed.object
        case .absent: return nil
        // It cannot be followed, or not yet.
        case .unknown: return try await server.get(.deployments, name).map(WatchedDeployment.init)
        }
    }

    // MARK: telling

    private func tell(
        _ verdict: RemoteVerdict, of metadata: ObjectMeta, former: RemoteServiceStatus?, ports: [RemotePort]
    ) async -> ReconcileOutcome {
        let status = verdict.status(of: metadata, ports: ports, former: former, now: Date().formatted(.iso8601))
        if status != former, mayWrite() {
            let name = metadata.objectName
            let object: FieldValue = [
                "apiVersion": .string(APIName.groupVersion), "kind": .string(RemoteService.kind),
                "metadata": ["name": .string(name.name), "namespace": .string(name.namespace)], "status": status.fieldValue,
            ]
            do throws(APIError) {
                try await server.apply(.remoteServices, name, subresource: "status", object, force: true)
            } catch  where error.isNotFound {
                return .done(requeueAfter: nil)
            } catch {
                logger.error("the status could not be written", metadata: ["remoteService": "\(name)", "error": "\(error)"])
                return .failed
            }
            for event in readinessEvents(
                kind: RemoteService.kind, name: name, before: former?.conditions ?? [], after: status.conditions)
            {
                events.record(EventDraft(event, uid: metadata.uid))
            }
        }
        if let failure = verdict.failure { return .done(requeueAfter: failure.isFinal ? .seconds(60) : Self.slowPace) }
        return .done(requeueAfter: status.conditions["Ready"]?.status == .true ? Self.pace : Self.quickPace)
    }

    private func checkLeadership() throws(StoreError) {
        guard mayWrite() else { throw .leadershipLost }
    }
}
