import EdgeAPI
import Enrollment
import FoundationEssentials
import Logging
import NodeDocument

extension EdgeNodeReconciler {
    /// Tears the VPS down, then the uplinks, and lets the EdgeNode go.
    func delete(_ node: EdgeNode) async throws(StoreError) -> ReconcileOutcome {
        let name = node.metadata.objectName
        if node.metadata.annotations[APIName.skipDeprovisionAnnotation] != "true" {
            do throws(NodeFailure) {
                try await tearDown(node)
            } catch {
                let hint = "annotate the EdgeNode with \(APIName.skipDeprovisionAnnotation)=true to leave the VPS as it is"
                let failure = NodeFailure(
                    reason: error.reason, message: "teardown: \(error.message); \(hint)", followUp: error.followUp)
                try await store.setStatus(failedStatus(failure, of: node, now: rfc3339(Date())), of: node)
                await store.record(
                    ResourceEvent(
                        kind: EdgeNode.kind, name: name, level: .warning, reason: "TeardownFailed", message: failure.message))
                logger.error("teardown failed", metadata: ["edgeNode": "\(name)", "error": "\(failure.message)"])
                return .failed
            }
        }
        try await store.withdrawUplinks(of: node)
        try await store.releaseNode(node)
        outcomes.set(nil, for: name)
        await sessions.remove(name)
        logger.info("the EdgeNode is gone", metadata: ["edgeNode": "\(name)"])
        return .done(requeueAfter: nil)
    }

    private func tearDown(_ node: EdgeNode) async throws(NodeFailure) {
        let secret = try await sshSecret(of: node)
        let request = TeardownRequest(owner: owner(of: node), epoch: writer.epoch())
        do throws(EnrollmentError) {
            let report = try await sessions.link(to: node, secret: secret).teardown(request)
            let changes = report?.changes.joined(separator: "; ") ?? "there was nothing of ours"
            logger.info("the VPS was torn down", metadata: ["edgeNode": "\(node.metadata.objectName)", "changes": "\(changes)"])
        } catch  where error.reason == .foreignOwner {
            // Nothing of ours is there; an EdgeNode that never got its VPS may go.
            await store.record(
                ResourceEvent(
                    kind: EdgeNode.kind, name: node.metadata.objectName, level: .warning, reason: "TeardownSkipped",
                    message: "the VPS was left as it is: \(error.message)"))
        } catch {
            throw await raisingEpoch(error)
        }
    }
}
