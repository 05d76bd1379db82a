public import EdgeAPI
import EventRecording
import KubernetesAPI
import Logging
import Reconcilers
import Synchronization
import UplinkWorkload

/// How RemoteServices are served.
public struct RemoteSettings: Sendable {
    /// For hosts that no RemoteService names, without `*.`; nil for none.
    public var wildcardDomain: String?
    /// For the command of wstunnel, with `%s` three times; nil for ours.
    public var wstunnelCommand: String?
    /// Which pods get a RemoteService by themselves, and where.
    public var exposure = PodExposure.none
    public var exposureNamespaces: Set<String> = []
    /// What such a RemoteService is, but for its ports; nil for the default.
    public var template: RemoteServiceSpec?

    public init(wildcardDomain: String? = nil, wstunnelCommand: String? = nil) {
        self.wildcardDomain = wildcardDomain
        self.wstunnelCommand = wstunnelCommand
    }
}

/// The work on RemoteServices of one term of leading.
final class RemoteWork: Sendable {
    private let resources: WatchedResources
    private let objects: RemoteObjectWatches
    private let reconciler: RemoteServiceReconciler
    private let exposer: PodExposer

    /// Namespaces that are watched, a handful of watches each; what others change elsewhere is put back within `RemoteServiceReconciler.memory`.
    private static let mostNamespaces = 64

    init(
        _ server: APIServer, _ settings: RemoteSettings, pods: UplinkPodSettings, resources: WatchedResources,
        queue: WorkQueue<ObjectName>, events: EventRecorder, mayWrite: @escaping @Sendable () -> Bool,
        logger: Logger
    ) {
        self.resources = resources
        let forgetting = Forgetting()
        objects = RemoteObjectWatches(
            server, logger: logger,
            changed: { name in
                forgetting.forget(name)
                // Our own writes are told of too.
                queue.add(name, after: .milliseconds(200))
            }, looked: { queue.add($0) })
        reconciler = RemoteServiceReconciler(
            server,
            RemoteServiceReconciler.Settings(
                image: pods.image, environment: pods.environment, makesDevices: pods.makesDevices,
                wildcardDomain: settings.wildcardDomain, wstunnelCommand: settings.wstunnelCommand),
            resources: resources, objects: objects, events: events, mayWrite: mayWrite, logger: logger)
        forgetting.set { [reconciler] in reconciler.forget($0) }
        exposer = PodExposer(
            server,
            PodExposer.Settings(
                exposure: settings.exposure, namespaces: settings.exposureNamespaces, template: settings.template),
            resources: resources, events: events, mayWrite: mayWrite, logger: logger)
    }

    func run(_ queue: WorkQueue<ObjectName>) async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.objects.run() }
            group.addTask { await self.exposer.run() }
            group.addTask {
                await queue.run { name in
                    self.follow()
                    return await self.reconciler.reconcile(name)
                }
            }
        }
    }

    private func follow() {
        let used = Set(resources.remoteServices.all.map(\.metadata.namespace))
        objects.follow(Set(used.sorted().prefix(Self.mostNamespaces)))
    }
}

/// The watches are there before the reconciler that hears of them.
private final class Forgetting: Sendable {
    private let forgetter = Mutex<(@Sendable (ObjectName) -> Void)?>(nil)

    func set(_ forget: @escaping @Sendable (ObjectName) -> Void) { forgetter.withLock { $0 = forget } }
    func forget(_ name: ObjectName) { forgetter.withLock { $0 }?(name) }
}
