public import EdgeAPI
import FoundationEssentials
public import Logging

/// Tells in a PortBinding's status what its EdgeNode's last reconcile found. Writes nothing else.
public struct PortBindingReconciler: Sendable {
    private let store: any ResourceStore
    private let outcomes: NodeOutcomes
    private let logger: Logger

    public init(store: any ResourceStore, outcomes: NodeOutcomes, logger: Logger) {
        self.store = store
        self.outcomes = outcomes
        self.logger = logger
    }

    public func reconcile(_ name: ObjectName) async -> ReconcileOutcome {
        do throws(StoreError) {
            guard let portBinding = try await store.portBinding(name), portBinding.metadata.deletionTimestamp == nil else {
                return .done(requeueAfter: nil)
            }
            let node = try await store.edgeNode(portBinding.edgeNodeName)
            let status = portBindingStatus(
                portBinding, node: node, outcome: outcomes[portBinding.edgeNodeName],
                failure: outcomes.storeFailure(of: portBinding.edgeNodeName), previous: portBinding.status, now: rfc3339(Date()))
            if status != portBinding.status { try await store.setStatus(status, of: portBinding) }
            return .done(requeueAfter: nil)
        } catch {
            logger.error("the status could not be written", metadata: ["portBinding": "\(name)", "error": "\(error)"])
            return .failed
        }
    }
}
