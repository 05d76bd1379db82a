import EdgeAPI
import Informers
import Synchronization

/// Changes that the watches told of, until they are handed to whoever reconciles. Many of one object are one.
final class PendingChanges: Sendable {
    private struct State {
        var nodes: Set<ObjectName> = []
        var bindings: Set<ObjectName> = []
        var remoteServices: Set<ObjectName> = []
        var secrets: Set<ObjectName> = []
        var services: Set<ObjectName> = []
    }

    private let state = Mutex(State())
    /// Something has changed since the last `take`.
    let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation

    init() { (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    var taking: ResourceChanges {
        ResourceChanges(
            node: { change in
                guard change.matters(\.node.metadata) else { return }
                self.note { $0.nodes.insert(change.name) }
            },
            binding: { change in
                guard change.matters(\.metadata) else { return }
                self.note { state in
                    state.bindings.insert(change.name)
                    state.nodes.formUnion(change.objects.map(\.edgeNodeName))
                }
            },
            remoteService: { change in
                guard change.matters(\.metadata) else { return }
                self.note { $0.remoteServices.insert(change.name) }
            },
            secret: { name in self.note { $0.secrets.insert(name) } },
            service: { name in self.note { $0.services.insert(name) } },
            rights: { self.note { _ in } })
    }

    private func note(_ body: (inout State) -> Void) {
        state.withLock { body(&$0) }
        signal.yield()
    }

    /// What has changed since the last call: EdgeNodes to look at, PortBindings, and RemoteServices.
    func take(
        _ resources: WatchedResources
    ) -> (nodes: Set<ObjectName>, bindings: Set<ObjectName>, remoteServices: Set<ObjectName>) {
        let pending = state.withLock { state in
            defer { state = State() }
            return state
        }
        var nodes = pending.nodes
        for secret in pending.secrets { nodes.formUnion(resources.nodes(usingSecret: secret)) }
        for service in pending.services { nodes.formUnion(resources.nodes(usingService: service)) }
        return (nodes, pending.bindings, pending.remoteServices)
    }
}

extension ObjectChange {
    /// The object before and after, as far as it decodes.
    var objects: [Object] {
        switch self {
        case .added(let object), .deleted(let object): [object.object].compactMap(\.self)
        case .updated(let before, let after): [before.object, after.object].compactMap(\.self)
        }
    }

    /// Whether it is more than a new status: the generation rises with the spec and with the deletion.
    fileprivate func matters(_ metadata: (Object) -> ObjectMeta) -> Bool {
        guard case .updated(let before, let after) = self, let old = before.object, let new = after.object else { return true }
        let (a, b) = (metadata(old), metadata(new))
        return a.generation != b.generation || a.annotations != b.annotations || a.deletionTimestamp != b.deletionTimestamp
            || a.finalizers != b.finalizers
    }
}
