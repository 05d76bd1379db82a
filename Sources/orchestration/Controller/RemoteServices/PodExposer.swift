import Documents
import EdgeAPI
import EventRecording
import Informers
import JSON
import KubernetesAPI
import Logging
import NetworkTypes
import Reconcilers
import RemoteWorkload
import Synchronization

/// Which pods get a RemoteService by themselves.
public enum PodExposure: String, Sendable, CaseIterable {
    case none
    /// Those that ask for it by an annotation.
    case annotated
    /// Those too that have ports and are on a node that is none: one of a virtual kubelet.
    case virtualNodes = "virtual-nodes"
}

/// Gives pods that run elsewhere a RemoteService of their own: it follows their ports and annotations, goes with them or when they end, and what the
/// remote is started with is written back to them.
final class PodExposer: Sendable {
    struct Settings: Sendable {
        var exposure: PodExposure
        var namespaces: Set<String>
        /// All but the ports; nil for an Ingress of the default class, and the clients that the pod's annotations speak of.
        var template: RemoteServiceSpec?
    }

    private let server: APIServer
    private let settings: Settings
    private let resources: WatchedResources
    private let events: EventRecorder
    private let mayWrite: @Sendable () -> Bool
    private let logger: Logger
    private let pods: NamespaceWatches<ExposedPod>
    private let queue: WorkQueue<ObjectName>
    private let state = Mutex(State())

    private struct State {
        /// Whether a node is one of a virtual kubelet, and until when that counts.
        var nodes: [String: (isVirtual: Bool, end: ContinuousClock.Instant)] = [:]
        /// Since when a pod's gateway is waited for, and whether that was told.
        var waiting: [String: (since: ContinuousClock.Instant, isTold: Bool)] = [:]
    }

    private static let pace = Duration.seconds(3)
    private static let nodeMemory = Duration.seconds(300)
    private static let mostNodes = 10_000

    init(
        _ server: APIServer, _ settings: Settings, resources: WatchedResources, events: EventRecorder,
        mayWrite: @escaping @Sendable () -> Bool, logger: Logger
    ) {
        self.server = server
        self.settings = settings
        self.resources = resources
        self.events = events
        self.mayWrite = mayWrite
        self.logger = logger
        let queue = WorkQueue<ObjectName>(concurrency: 5, share: { WorkShare(tenant: $0.namespace) })
        self.queue = queue
        pods = NamespaceWatches(
            server, .pods, labels: "", logger: logger, decode: { Decoded(value: ExposedPod($0), problems: []) }
        ) { notice in
            guard case .change(let change) = notice else { return }
            if case .updated(let before, let after) = change, before.object == after.object { return }
            queue.add(change.name)
        }
    }

    /// Until the task is cancelled.
    func run() async {
        guard settings.exposure != .none else { return }
        pods.want(settings.namespaces)
        await withDiscardingTaskGroup { group in
            group.addTask { await self.pods.run() }
            group.addTask { await self.tellOfRights() }
            group.addTask { await self.queue.run { await self.look(at: $0) } }
        }
    }

    /// Nobody else would say that a namespace's pods cannot be followed.
    private func tellOfRights() async {
        var told: Set<String> = []
        while (try? await Task.sleep(for: .seconds(10))) != nil {
            for namespace in settings.namespaces {
                guard let problem = pods.problem(in: namespace) else {
                    told.remove(namespace)
                    continue
                }
                guard told.insert(namespace).inserted else { continue }
                logger.error(
                    "the pods of a namespace cannot be exposed: grant the rights of deploy/kubernetes/remote-services there",
                    metadata: ["namespace": "\(namespace)", "error": "\(problem)"])
            }
        }
    }

    private func look(at name: ObjectName) async -> ReconcileOutcome {
        guard mayWrite(), case .known(let observed) = pods.get(name), let pod = observed.object else {
            return .done(requeueAfter: nil)
        }
        do {
            guard try await isExposed(pod) else { return try await withdraw(pod) }
            return try await expose(pod)
        } catch let error as InvalidValue {
            tell(pod, .warning, "ExtraPortsInvalid", "\(error)")
            return .done(requeueAfter: nil)
        } catch {
            logger.warning("a pod cannot be exposed", metadata: ["pod": "\(name)", "error": "\(error)"])
            return .failed
        }
    }

    private func isExposed(_ pod: ExposedPod) async throws(APIError) -> Bool {
        guard !pod.isOver else { return false }
        if let wish = pod.wish { return wish }
        guard settings.exposure == .virtualNodes, !pod.ports.isEmpty, let node = pod.nodeName else { return false }
        return try await isVirtual(node)
    }

    private func isVirtual(_ node: String) async throws(APIError) -> Bool {
        if let known = state.withLock({ $0.nodes[node] }), known.end > .now { return known.isVirtual }
        let object = try await server.get(.nodes, ObjectName(namespace: "", name: node))
        let labels = object?["metadata"]?["labels"]?.texts ?? [:]
        let taints = object?["spec"]?["taints"]?.items?.compactMap { $0["key"]?.text } ?? []
        // As virtual-kubelet's providers, interLink among them, mark their nodes.
        let isVirtual =
            labels["type"] == "virtual-kubelet" || taints.contains("virtual-kubelet.io/provider")
            || taints.contains("virtual-node.interlink/no-schedule")
        state.withLock { state in
            if state.nodes.count > Self.mostNodes { state.nodes = [:] }
            state.nodes[node] = (isVirtual, .now + Self.nodeMemory)
        }
        return isVirtual
    }

    // MARK: there

    private func expose(_ pod: ExposedPod) async throws -> ReconcileOutcome {
        let ports = try pod.exposedPorts()
        guard !ports.isEmpty else {
            tell(pod, .warning, "NoPorts", "there is nothing to expose: no container has ports, and no annotation names some")
            return try await withdraw(pod)
        }
        var spec =
            settings.template
            ?? RemoteServiceSpec(
                ports: [], clients: clients(of: pod), gateway: RemoteGateway(entrance: .ingress(RemoteIngress())))
        spec.ports = ports
        let name = pod.remoteServiceName
        let existing = resources.remoteServices.observed(name)?.object
        if existing?.spec != spec {
            // Of another pod of that name, say, which is still going.
            if let found = try await server.get(.remoteServices, name), !found.isOwned(by: pod.uid) {
                tell(pod, .warning, "NameTaken", "RemoteService \(name.name) is there already and not this pod's; remove it")
                return .done(requeueAfter: Self.pace)
            }
            try await server.apply(.remoteServices, name, pod.remoteService(spec), force: true)
            return .done(requeueAfter: Self.pace)
        }
        try await writeBack(pod, name)
        return watchGateway(pod, existing)
    }

    private func clients(of pod: ExposedPod) -> [RemoteClientKind] {
        pod.annotations[ExposedPod.exposeAnnotation] != nil || pod.annotations[ExposedPod.extraPortsAnnotation] != nil
            ? [.tidegate] : [.tidegate, .wstunnel]
    }

    /// The commands, once they are known.
    private func writeBack(_ pod: ExposedPod, _ name: ObjectName) async throws {
        guard let secret = try await server.get(.secrets, RemoteNames(of: name).joinSecret) else { return }
        let entries = (secret["data"]?.texts ?? [:]).compactMapValues {
            decodeBase64($0).map { String(decoding: $0, as: UTF8.self) }
        }
        let wanted = ExposedPod.commands(entries)
        guard wanted.contains(where: { pod.annotations[$0.key] != $0.value }) else { return }
        // Nobody gets what another's RemoteService is joined by, whatever he calls his pod.
        guard let service = try await server.get(.remoteServices, name), service.isOwned(by: pod.uid) else { return }
        var annotations: FieldMembers = [:]
        for (key, value) in wanted { annotations[key] = value.map { .string($0) } ?? .null }
        try await server.mergePatch(
            .pods, pod.name, ["metadata": ["annotations": .object(annotations), "uid": .string(pod.uid)]])
    }

    private func watchGateway(_ pod: ExposedPod, _ service: RemoteService?) -> ReconcileOutcome {
        if service?.status?.conditions["GatewayReady"]?.status == .true {
            state.withLock { $0.waiting[pod.uid] = nil }
            // The commands may not have been written yet.
            let isWritten =
                pod.annotations[ExposedPod.commandAnnotation] != nil
                || pod.annotations[ExposedPod.wstunnelCommandAnnotation] != nil
            return .done(requeueAfter: isWritten ? nil : Self.pace)
        }
        let isLate = state.withLock { state in
            let waiting = state.waiting[pod.uid] ?? (.now, false)
            let isLate = !waiting.isTold && waiting.since + pod.timeout.duration < .now
            state.waiting[pod.uid] = (waiting.since, waiting.isTold || isLate)
            return isLate
        }
        if isLate {
            let reason = service?.status?.conditions["GatewayReady"]?.message ?? "nothing is known of it yet"
            tell(pod, .warning, "GatewayNotReady", "the gateway is not ready after \(pod.timeout): \(reason)")
        }
        return .done(requeueAfter: Self.pace)
    }

    // MARK: gone

    private func withdraw(_ pod: ExposedPod) async throws -> ReconcileOutcome {
        state.withLock { $0.waiting[pod.uid] = nil }
        let name = pod.remoteServiceName
        guard resources.remoteServices.observed(name) != nil, let found = try await server.get(.remoteServices, name),
            found.isOwned(by: pod.uid)
        else { return .done(requeueAfter: nil) }
        try await server.delete(.remoteServices, name, APIPreconditions(uid: found["metadata"]?["uid"]?.text))
        return .done(requeueAfter: nil)
    }

    private func tell(_ pod: ExposedPod, _ level: EventDraft.Level, _ reason: String, _ note: String) {
        events.record(
            EventDraft(
                regarding: ObjectReference(apiVersion: "v1", kind: "Pod", name: pod.name, uid: pod.uid), level: level,
                reason: reason,
                action: "Expose", note: note))
    }
}

extension APIResource {
    static let nodes = APIResource(group: "", version: "v1", kind: "Node", plural: "nodes", isNamespaced: false)
}

extension FieldNode {
    /// Whether an object names the one of that UID among its owners.
    func isOwned(by uid: String) -> Bool {
        self["metadata"]?["ownerReferences"]?.items?.contains { $0["uid"]?.text == uid } ?? false
    }
}
