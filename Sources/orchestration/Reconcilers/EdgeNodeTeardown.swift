import EdgeAPI
import Enrollment
import FoundationEssentials
import Logging
import NodeDocument

extension EdgeNodeReconciler {
    /// Tears the VPS down, then the uplinks, and lets the EdgeNode go. What holds it up stands in the status, with the way out.
    func delete(_ node: EdgeNode) async -> ReconcileOutcome {
        let name = node.metadata.objectName
        let way: Deprovisioning = node.metadata.annotations[APIName.skipDeprovisionAnnotation] == "true" ? .skipped : .wanted
        let before = node.status?.conditions["Ready"]
        let wasTold = before?.message.hasPrefix(deletionPrefix) == true
        if way == .wanted {
            // What it said while it lived is true no more.
            if !wasTold { _ = await write(.deleting, of: node) }
            do throws(NodeFailure) {
                try await tearDown(node)
            } catch {
                let next: ReconcileOutcome = await tell(deletionFailure(error, at: .vps), of: node)
                // One that turned us away is not asked more often than while the EdgeNode lived.
                return error.followUp == .refused ? .done(requeueAfter: wait(for: error, of: name)) : next
            }
        }
        do throws(StoreError) {
            try await store.withdrawUplinks(of: node)
        } catch {
            guard !error.isLostLeadership else { return .failed }
            let failure = deletionFailure(NodeFailure(error), at: .uplinks)
            guard way == .skipped else { return await tell(failure, of: node) }
            // What may pass by itself gets another try, unless that cannot even be told: uplinks that are left run on.
            if error.followUp == .retry, before?.message != failure.message, await write(failure, of: node) { return .failed }
            await tellOfRest(error, of: node)
        }
        do throws(StoreError) {
            // Our own writes have changed it meanwhile.
            try await store.releaseNode(try await store.edgeNode(name) ?? node)
        } catch {
            guard !error.isLostLeadership else { return .failed }
            return await tell(deletionFailure(NodeFailure(error), at: .finalizer), of: node)
        }
        outcomes.set(nil, for: name)
        writer.forget(name)
        await sessions.remove(name)
        logger.info("the EdgeNode is gone", metadata: ["edgeNode": "\(name)"])
        return .done(requeueAfter: nil)
    }

    private enum Deprovisioning { case wanted, skipped }

    /// The status says why, an event too; the next try comes soon, and later with each that fails.
    private func tell(_ failure: NodeFailure, of node: EdgeNode) async -> ReconcileOutcome {
        let name = node.metadata.objectName
        logger.error("the EdgeNode cannot go yet", metadata: ["edgeNode": "\(name)", "error": "\(failure.message)"])
        _ = await write(failure, of: node)
        await store.record(
            ResourceEvent(kind: EdgeNode.kind, name: name, level: .warning, reason: "TeardownFailed", message: failure.message))
        return .failed
    }

    /// - Returns: whether it stands in the status now. What cannot be written holds up no deletion.
    private func write(_ failure: NodeFailure, of node: EdgeNode) async -> Bool {
        do throws(StoreError) {
            try await store.setStatus(failedStatus(failure, of: node, now: rfc3339(Date())), of: node)
            return true
        } catch {
            logger.error(
                "the status cannot be written", metadata: ["edgeNode": "\(node.metadata.objectName)", "error": "\(error)"])
            return false
        }
    }

    private func tellOfRest(_ error: StoreError, of node: EdgeNode) async {
        let (name, place) = (node.metadata.objectName, node.spec.uplink.namespace)
        let uplinks = store.uplinkName(of: node)
        let message =
            "let go as \(APIName.skipDeprovisionAnnotation) asks; left in namespace \(place): what there is of \(uplinks), "
            + "\(uplinks)-config and \(uplinks)-keys (\(error.message))"
        logger.warning("something was left behind", metadata: ["edgeNode": "\(name)", "error": "\(error.message)"])
        await store.record(
            ResourceEvent(kind: EdgeNode.kind, name: name, level: .warning, reason: "LeftBehind", message: message))
    }

    private func tearDown(_ node: EdgeNode) async throws(NodeFailure) {
        let link = try await lastLink(to: node)
        let request = TeardownRequest(
            owner: owner(of: node), epoch: writer.epoch(for: node.metadata.objectName), writer: writer.writer)
        do throws(NodeFailure) {
            let report = try await talk(to: node, until: .now + patience) { () throws(EnrollmentError) in
                try await link.teardown(request)
            }
            let changes = report?.changes.joined(separator: "; ") ?? "there was nothing of ours"
            logger.info("the VPS was torn down", metadata: ["edgeNode": "\(node.metadata.objectName)", "changes": "\(changes)"])
        } catch  where error.reason == EnrollmentError.Reason.foreignOwner.rawValue {
            // Nothing of ours is there; an EdgeNode that never got its VPS may go.
            await store.record(
                ResourceEvent(
                    kind: EdgeNode.kind, name: node.metadata.objectName, level: .warning, reason: "TeardownSkipped",
                    message: "the VPS was left as it is: \(error.message)"))
        }
    }

    /// By the Secret, or where that went together with the EdgeNode by what is known of it still.
    private func lastLink(to node: EdgeNode) async throws(NodeFailure) -> NodeLink {
        let secret: Secret
        do throws(NodeFailure) {
            secret = try await sshSecret(of: node)
        } catch {
            if let kept = await sessions.keptLink(node.metadata.objectName) { return kept }
            throw error
        }
        do throws(EnrollmentError) {
            return try await sessions.link(to: node, secret: secret)
        } catch {
            throw NodeFailure(error)
        }
    }
}

/// What deletion stopped at.
private enum DeletionStep {
    case vps, uplinks, finalizer

    var wayOut: String {
        let skip = "annotate the EdgeNode with \(APIName.skipDeprovisionAnnotation)=true to let it go and leave"
        return switch self {
        case .vps: "\(skip) the VPS as it is"
        case .uplinks: "\(skip) what there is of its uplinks"
        case .finalizer: "all else is done: otherwise remove its finalizer \(APIName.finalizer)"
        }
    }
}

/// What a condition says of an EdgeNode on its way out begins with this.
private let deletionPrefix = "deletion: "

private func deletionFailure(_ failure: NodeFailure, at step: DeletionStep) -> NodeFailure {
    NodeFailure(
        reason: failure.reason, message: "\(deletionPrefix)\(failure.message); \(step.wayOut)", followUp: failure.followUp)
}

extension NodeFailure {
    fileprivate static let deleting = NodeFailure(
        reason: "Deleting", message: "\(deletionPrefix)the VPS is being torn down, then the uplinks", followUp: .retry)
}
