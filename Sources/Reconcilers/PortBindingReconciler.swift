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
                portBinding, node: node, outcome: outcomes[portBinding.edgeNodeName], previous: portBinding.status,
                now: rfc3339(Date()))
            if status != portBinding.status { try await store.setStatus(status, of: portBinding) }
            await tellOfKeys(portBinding, status: status)
            return .done(requeueAfter: nil)
        } catch {
            logger.error("the status could not be written", metadata: ["portBinding": "\(name)", "error": "\(error)"])
            return .failed
        }
    }

    /// Warns when a private key reaches the VPS for the first time: the binding was not applied before, and is now.
    private func tellOfKeys(_ portBinding: PortBinding, status: PortBindingStatus) async {
        for binding in portBinding.spec.bindings {
            guard let secret = binding.tls?.mode.secretRef?.objectName(in: portBinding.metadata) else { continue }
            let before = portBinding.status?.bindings.first { $0.name == binding.name }
            let now = status.bindings.first { $0.name == binding.name }
            guard now?.reason == .applied, before == nil || before?.reason == .notYetApplied else { continue }
            await store.record(
                ResourceEvent(
                    kind: PortBinding.kind, name: portBinding.metadata.objectName, level: .warning, reason: "PrivateKeyOnEdge",
                    message: "the private key of Secret \(secret) was copied to the VPS, where binding \(binding.name) ends TLS"))
        }
    }
}
