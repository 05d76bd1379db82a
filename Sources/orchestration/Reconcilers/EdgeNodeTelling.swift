public import EdgeAPI
import Enrollment
import FoundationEssentials
import Logging
import NodeDocument
import Planning

// What a reconcile says of its outcome: status, events, and when it is tried again.
extension EdgeNodeReconciler {
    /// Writes the status that follows from what is known: the VPS's last word and the pods'. Nothing is asked.
    ///
    /// Reconciles and the pods' watch both come here, at any time; who finds that more became known while it wrote writes again, so
    /// that the newest is the last that is written.
    public func tellStatus(of name: ObjectName) async throws(StoreError) {
        for _ in 0..<Self.mostWrites {
            guard let facts = outcomes[name], let node = try await store.edgeNode(name),
                node.metadata.deletionTimestamp == nil
            else { return }
            let failure = outcomes.storeFailure(of: name)
            let status = status(facts.outcome, node: node, storeFailure: failure)
            try await store.setStatus(status, of: node)
            // A failure has an event of its own.
            if facts.outcome.failure == nil, failure == nil {
                for event in readinessEvents(
                    kind: EdgeNode.kind, name: name, before: node.status?.conditions ?? [], after: status.conditions)
                {
                    await store.record(event)
                }
            }
            if outcomes[name] === facts, outcomes.storeFailure(of: name) == failure { return }
        }
    }

    /// More than can happen while a status is written; if it does all the same, the next change writes.
    private static var mostWrites: Int { 5 }

    private func status(_ outcome: NodeOutcome, node: EdgeNode, storeFailure: NodeFailure?) -> EdgeNodeStatus {
        let now = Date()
        let status = edgeNodeStatus(outcome, previous: node.status, now: rfc3339(now)) {
            rfc3339(now.addingTimeInterval(-Double($0)))
        }
        guard let storeFailure else { return status }
        var told = node
        told.status = status
        // Their transition is from what was told last.
        for condition in node.status?.conditions ?? [] where failedConditions.contains(condition.type) {
            told.status?.conditions.removeAll { $0.type == condition.type }
            told.status?.conditions.append(condition)
        }
        return failedStatus(storeFailure, of: told, now: rfc3339(now))
    }

    /// What the store could not do stands in the status too, if it can be written.
    func tell(_ error: StoreError, of node: EdgeNode) async -> ReconcileOutcome {
        let name = node.metadata.objectName
        logger.error("the store failed", metadata: ["edgeNode": "\(name)", "error": "\(error)"])
        var failure = NodeFailure(error)
        let next = followUp(&failure, of: name)
        outcomes.setStoreFailure(failure, of: name)
        do throws(StoreError) {
            if outcomes[name] == nil {
                try await store.setStatus(failedStatus(failure, of: node, now: rfc3339(Date())), of: node)
            } else {
                try await tellStatus(of: name)
            }
            await store.record(failure.event(of: node))
        } catch {
            logger.error("the status cannot be written", metadata: ["edgeNode": "\(name)", "error": "\(error)"])
        }
        return next
    }

    func tell(_ failure: NodeFailure, of node: EdgeNode) async {
        logger.error(
            "the VPS is not what it should be",
            metadata: [
                "edgeNode": "\(node.metadata.objectName)", "reason": "\(failure.reason)", "error": "\(failure.message)",
            ])
        await store.record(failure.event(of: node))
    }

    // MARK: the next time

    /// What follows from the outcome; its failure says from here on when it is tried again.
    func followUp(_ outcome: inout NodeOutcome, of name: ObjectName) -> ReconcileOutcome {
        guard var failure = outcome.failure else {
            _ = outcomes.waits(for: nil, of: name)
            return .done(
                requeueAfter: NextLook.after(
                    outcome.wait, looks: outcome.unsettledLooks, hasWays: (outcome.plan.relay.link?.carriers.count ?? 1) > 1))
        }
        let next = followUp(&failure, of: name)
        outcome.failure = failure
        return next
    }

    private func followUp(_ failure: inout NodeFailure, of name: ObjectName) -> ReconcileOutcome {
        guard let wait = wait(for: failure, of: name) else {
            return failure.followUp == .retry ? .failed : .done(requeueAfter: Self.resync)
        }
        failure.retryIn = wait
        return .done(requeueAfter: wait)
    }

    /// How long to wait for what is missing, or until one that turned us away is asked again; nil for what is neither.
    func wait(for failure: NodeFailure, of name: ObjectName) -> Duration? {
        switch failure.followUp {
        case .retry, .stalled:
            _ = outcomes.waits(for: nil, of: name)
            return nil
        case .waiting: return NextLook.retry(outcomes.waits(for: failure.reason, of: name))
        case .refused:
            let tries = outcomes.waits(for: failure.reason, of: name)
            let isCounted = failure.reason == EnrollmentError.Reason.sudoPasswordWrong.rawValue
            return isCounted ? NextLook.wrongPassword : NextLook.refused(tries)
        }
    }
}
