import EdgeAPI
import NetworkTypes
import NodeDocument
import Planning
import Sodium

/// The status of a PortBinding, told from the last outcome of its EdgeNode; `outcome` is nil when there was none yet.
func portBindingStatus(
    _ portBinding: PortBinding, node: EdgeNode?, outcome: IndexedOutcome?, previous: PortBindingStatus?, now: String
) -> PortBindingStatus {
    var status = previous ?? PortBindingStatus()
    let generation = portBinding.metadata.generation
    status.observedGeneration = generation
    status.bindings = portBinding.spec.bindings.map { binding in
        let verdict = bindingVerdict(binding, of: portBinding, node: node, outcome: outcome)
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
    let unprogrammed: Set<BindingStatus.Reason> = [
        .portConflict, .portInUse, .rejectedByEnvoy, .targetNotFound, .tlsSecretIncomplete, .edgeNodeNotFound, .notYetApplied,
    ]
    set(
        "Programmed", failing: status.bindings.filter { unprogrammed.contains($0.reason) }, one: "is in Envoy's configuration",
        more: "are in Envoy's configuration")
    set("Ready", failing: status.bindings.filter { !$0.ready }, one: "carries traffic", more: "carry traffic")
    return status
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

private func bindingVerdict(_ binding: Binding, of portBinding: PortBinding, node: EdgeNode?, outcome: IndexedOutcome?)
    -> BindingVerdict
{
    guard node != nil else {
        return BindingVerdict(
            reason: .edgeNodeNotFound,
            message: "EdgeNode \(portBinding.edgeNodeName) does not exist; create it or correct spec.edgeNodeRef.name")
    }
    guard let facts = outcome else {
        return BindingVerdict(reason: .notYetApplied, message: "EdgeNode \(portBinding.edgeNodeName) has not been reconciled yet")
    }
    let id = BindingID(owner: portBinding.metadata.objectName, name: binding.name)
    if let conflict = facts.conflicts[id] {
        return BindingVerdict(reason: conflict.reason, message: conflict.message)
    }
    guard let planned = facts.planned[id] else {
        return BindingVerdict(reason: .notYetApplied, message: "not part of the last plan yet")
    }
    let target = "\(planned.target):\(planned.targetPort)"
    func verdict(_ reason: BindingStatus.Reason, _ message: String) -> BindingVerdict {
        BindingVerdict(reason: reason, message: message, target: target)
    }
    if let failure = facts.outcome.failure {
        return verdict(.notYetApplied, "EdgeNode \(portBinding.edgeNodeName): \(failure.message)")
    }
    guard let report = facts.outcome.report, report.hash == facts.outcome.relayHash else {
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
        case .pending: return verdict(.notYetApplied, listener.message ?? "Envoy has not taken the listener up yet")
        }
    }
    let carried = uplinkVerdict(planned, facts: facts, report: report)
    guard carried.reason == .applied, let problem = planned.problem else { return carried }
    return verdict(.tlsSecretIncomplete, problem)
}

private func uplinkVerdict(_ planned: PlannedBinding, facts: IndexedOutcome, report: AgentReport) -> BindingVerdict {
    let target = "\(planned.target):\(planned.targetPort)"
    guard facts.readyUplinks > 0 else {
        let words = report.peers.map { peer in
            let state = peer.uplink.map { $0.reason ?? "not ready" } ?? "silent"
            return "\(peer.ordinal): \(state)"
        }
        return BindingVerdict(
            reason: .uplinksDown,
            message: words.isEmpty
                ? "there is no uplink" : "no uplink is ready (\(words.joined(separator: "; "))); see the uplinks' logs",
            target: target)
    }
    guard facts.currentUplinks > 0 else {
        return BindingVerdict(
            reason: .notYetApplied, message: "the uplinks have not taken up the present configuration yet", target: target)
    }
    guard !report.starved.contains(planned.id.name) else {
        let check = facts.outcome.node.spec.edge.healthCheck
        return BindingVerdict(
            reason: .uplinksDown,
            message: "an uplink says it is ready, but Envoy's checks of it have not succeeded yet "
                + "(\(check.healthyThreshold) in a row, every \(check.interval))",
            target: target)
    }
    let answers = facts.targets[planned.id.name] ?? []
    if let refused = answers.first(where: { $0.reachable == false }), !answers.contains(where: { $0.reachable != false }) {
        return BindingVerdict(
            reason: .targetUnreachable,
            message:
                "no uplink reaches \(target): \(refused.message ?? "no answer"); see whether the target runs and listens there",
            target: target)
    }
    return BindingVerdict(reason: .applied, message: "carries traffic", target: target)
}
