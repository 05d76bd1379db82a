import EdgeAPI
import NetworkTypes
import NodeDocument
import Planning
import Sodium

/// The status of a PortBinding, told from the last outcome of its EdgeNode; `outcome` is nil when there was none yet, `failure` says
/// why the last reconcile came to none.
func portBindingStatus(
    _ portBinding: PortBinding, node: EdgeNode?, outcome: IndexedOutcome?, failure: NodeFailure? = nil,
    previous: PortBindingStatus?, now: String
) -> PortBindingStatus {
    var status = previous ?? PortBindingStatus()
    let generation = portBinding.metadata.generation
    status.observedGeneration = generation
    status.bindings = portBinding.spec.bindings.map { binding in
        let verdict = bindingVerdict(binding, of: portBinding, node: node, outcome: outcome, failure: failure)
        return BindingStatus(
            name: binding.name, address: node.map { "\($0.spec.address.bracketed):\(binding.listenPort)" } ?? "",
            target: verdict.target, ready: verdict.reason == .applied, reason: verdict.reason, message: verdict.message)
    }
    status.readyBindings = "\(status.bindings.count { $0.ready })/\(status.bindings.count)"
    status.ports = portList(portBinding.spec.bindings)

    func set(_ type: String, failing: [BindingStatus], one: String, more: String) {
        let total = status.bindings.count
        let condition: Condition
        if let first = failing.first {
            let others = failing.count > 1 ? " (\(failing.count) of \(total) bindings)" : ""
            condition = Condition(
                type: type, status: .false, reason: first.reason.rawValue, message: "\(first.name): \(first.message)\(others)",
                observedGeneration: generation)
        } else {
            condition = Condition(
                type: type, status: .true, reason: BindingStatus.Reason.applied.rawValue,
                message: "\(counted(total, "binding")) \(total == 1 ? one : more)",
                observedGeneration: generation)
        }
        status.conditions.set(condition, now: now)
    }
    set(
        "Programmed", failing: status.bindings.filter { !$0.reason.isProgrammed }, one: "is in Envoy's configuration",
        more: "are in Envoy's configuration")
    set("Ready", failing: status.bindings.filter { !$0.ready }, one: "carries traffic", more: "carry traffic")
    return status
}

extension BindingStatus.Reason {
    /// Whether a binding of which this is told is in Envoy's configuration: its fault, if any, lies before or behind Envoy.
    fileprivate var isProgrammed: Bool {
        switch self {
        case .applied, .uplinksDown, .targetUnreachable, .blockedByFirewall: true
        case .portConflict, .portInUse, .rejectedByEnvoy, .targetNotFound, .targetRefused, .tlsSecretIncomplete,
            .edgeNodeNotFound, .notYetApplied:
            false
        }
    }
}

/// The public ports, as a column of kubectl has room for them.
private func portList(_ bindings: [Binding]) -> String {
    let shown = 5
    let ports = bindings.prefix(shown).map { "\($0.listenPort)/\($0.protocol)" }
    return (ports + (bindings.count > shown ? ["+\(bindings.count - shown)"] : [])).joined(separator: ",")
}

private struct BindingVerdict {
    var reason: BindingStatus.Reason
    var message: String
    var target: String?
}

private func bindingVerdict(
    _ binding: Binding, of portBinding: PortBinding, node: EdgeNode?, outcome: IndexedOutcome?, failure: NodeFailure?
) -> BindingVerdict {
    let told = failure.map {
        BindingVerdict(reason: .notYetApplied, message: "EdgeNode \(portBinding.edgeNodeName): \($0.message)")
    }
    guard let node else {
        // One that does not decode is there, and says why.
        return told
            ?? BindingVerdict(
                reason: .edgeNodeNotFound,
                message: "EdgeNode \(portBinding.edgeNodeName) does not exist; create it or correct spec.edgeNodeRef.name")
    }
    guard node.metadata.deletionTimestamp == nil else {
        return BindingVerdict(
            reason: .edgeNodeNotFound,
            message: "EdgeNode \(portBinding.edgeNodeName) is being deleted; create it anew or correct spec.edgeNodeRef.name")
    }
    guard let facts = outcome else {
        return told
            ?? BindingVerdict(
                reason: .notYetApplied, message: "EdgeNode \(portBinding.edgeNodeName) has not been reconciled yet")
    }
    let id = BindingID(owner: portBinding.metadata.objectName, name: binding.name)
    if let exclusion = facts.exclusions[id] {
        return BindingVerdict(reason: exclusion.reason, message: exclusion.message)
    }
    guard let planned = facts.planned[id] else {
        return told ?? BindingVerdict(reason: .notYetApplied, message: "not part of the last plan yet")
    }
    let target = planned.targetText
    func verdict(_ reason: BindingStatus.Reason, _ message: String) -> BindingVerdict {
        BindingVerdict(reason: reason, message: message, target: target)
    }
    if planned.targets.isEmpty, planned.host == nil {
        return verdict(
            .targetUnreachable,
            "its Service has no ready endpoint with that port; see whether its pods run and are ready: kubectl get endpointslices"
        )
    }
    let report: AgentReport
    if let failure = facts.outcome.failure {
        // That we cannot reach the VPS stops no traffic: what it said last holds as long as the pods hear from it.
        guard let heard = facts.outcome.heard, facts.outcome.hasReadyPod, !heard.changed.contains(id) else {
            return verdict(.notYetApplied, "EdgeNode \(portBinding.edgeNodeName): \(failure.message)")
        }
        report = heard.report
    } else if let present = facts.outcome.report, present.hash == facts.outcome.relayHash {
        report = present
    } else {
        return verdict(.notYetApplied, "the VPS does not hold the present configuration yet")
    }
    switch facts.listeners[planned.listener] {
    case nil: return verdict(.notYetApplied, "Envoy has no listener \(planned.listener) yet")
    case .some(let listener):
        switch listener.state {
        case .active: break
        case .filtered:
            return verdict(.blockedByFirewall, listener.message ?? "a firewall on the VPS drops what comes to the port")
        case .portInUse: return verdict(.portInUse, listener.message ?? "another process on the VPS holds the port")
        case .rejected: return verdict(.rejectedByEnvoy, listener.message ?? "Envoy refused the listener")
        case .unforwarded: return verdict(.notYetApplied, listener.message ?? "the uplinks do not forward it yet")
        case .pending: return verdict(.notYetApplied, listener.message ?? "Envoy has not taken the listener up yet")
        }
    }
    if let refusal = report.refusedBindings?[binding.name] { return verdict(.rejectedByEnvoy, refusal) }
    let carried = uplinkVerdict(planned, facts: facts, report: report)
    guard carried.reason == .applied, let problem = planned.problem else { return carried }
    return verdict(.tlsSecretIncomplete, problem)
}

private func uplinkVerdict(_ planned: PlannedBinding, facts: IndexedOutcome, report: AgentReport) -> BindingVerdict {
    let target = planned.targetText
    guard !facts.readyUplinks.isEmpty else {
        return BindingVerdict(reason: .uplinksDown, message: uplinksDownMessage(facts.outcome, report), target: target)
    }
    let carrying = facts.uplinks(carrying: planned.id)
    guard !carrying.isEmpty else {
        return BindingVerdict(
            reason: .notYetApplied, message: "the uplinks have not taken up the present configuration yet", target: target)
    }
    guard !report.starved.contains(planned.id.name) else {
        return BindingVerdict(
            reason: .uplinksDown,
            message: "an uplink says it is ready, but none that the VPS reaches through the tunnel forwards the binding",
            target: target)
    }
    let answers = carrying.compactMap { $0.targets[planned.id.name] }
    if let refused = answers.first(where: { $0.reachable == false }), !answers.contains(where: { $0.reachable != false }) {
        return BindingVerdict(
            reason: .targetUnreachable,
            message:
                "no uplink reaches \(target): \(refused.message ?? "no answer"); see whether the target runs and listens there",
            target: target)
    }
    return BindingVerdict(reason: .applied, message: "carries traffic", target: target)
}

/// Why no uplink is ready, uplink by uplink: the pods' word where it is the newer one, else the VPS's.
func uplinksDownMessage(_ outcome: NodeOutcome, _ report: AgentReport) -> String {
    // The VPS hears of none: what one knows of itself says more than that.
    if let words = outcome.uplinkComplaint { return "no uplink is ready; \(words)" }
    let words = report.peers.prefix(mostNamed).map { peer in
        let state =
            outcome.objection(to: peer.ordinal)?.words ?? peer.uplink.map { $0.reason ?? "not ready" } ?? "silent"
        return "\(peer.ordinal): \(state)"
    }
    guard !words.isEmpty else { return "there is no uplink" }
    let more = report.peers.count > mostNamed ? "; and \(report.peers.count - mostNamed) more" : ""
    return "no uplink is ready (\(words.joined(separator: "; "))\(more)); see the uplinks' logs"
}

/// Uplinks that a message names one by one.
private let mostNamed = 8
