import EdgeAPI
import NetworkTypes
import NodeDocument
import Planning
import Sodium

/// A handshake older than this means that the tunnel is down: WireGuard renews a session in use every 120 s and gives one up
/// after 180 (whitepaper, section 6.1, REJECT_AFTER_TIME).
let staleHandshakeSeconds = 180

/// The status that follows from what a reconcile found. `now` is RFC 3339.
func edgeNodeStatus(_ outcome: NodeOutcome, previous: EdgeNodeStatus?, now: String, timestamp: (_ secondsAgo: Int) -> String)
    -> EdgeNodeStatus
{
    var status = previous ?? EdgeNodeStatus()
    let generation = outcome.node.metadata.generation
    status.observedGeneration = generation

    func set(_ type: String, _ verdict: Verdict) {
        status.conditions.set(
            Condition(
                type: type, status: verdict.status, reason: verdict.reason, message: verdict.message,
                observedGeneration: generation), now: now)
    }
    let enrolled = enrolledVerdict(outcome)
    let tunnel = tunnelVerdict(outcome)
    let synced = syncedVerdict(outcome)
    set("Enrolled", enrolled)
    set("TunnelEstablished", tunnel)
    set("ConfigSynced", synced.condition)
    set("Ready", [enrolled, synced.serving, tunnel].first { !$0.isTrue } ?? Verdict(.true, "Ready", readyMessage(outcome)))

    guard let report = outcome.report else { return status }
    status.relayPublicKey = report.relayPublicKey ?? status.relayPublicKey
    status.wireGuardKind = report.wireGuardKind
    status.envoyVersion = report.envoyVersion
    status.agentVersion = report.agentBuild
    status.appliedConfigHash = report.hash?.description
    status.appliedBindings = report.hash == outcome.relayHash ? outcome.plan.planned.count : status.appliedBindings
    status.uplinks = outcome.plan.relay.wireGuard.peers.map { peer in
        let seen = report.peers.first { $0.publicKey == peer.publicKey }
        let before = previous?.uplinks.first { $0.publicKey == peer.publicKey }
        return UplinkStatus(
            name: "\(outcome.node.metadata.name)-uplink-\(peer.ordinal)", tunnelIP: peer.address, publicKey: peer.publicKey,
            lastHandshake: seen?.handshakeAge.map(timestamp) ?? before?.lastHandshake, ready: seen?.uplink?.ready ?? false)
    }
    status.readyUplinks = "\(status.uplinks.count { $0.ready })/\(outcome.node.spec.uplink.replicas)"
    return status
}

/// The status of a node that could not be reconciled at all: what was known stays, and Ready says why it may be out of date.
func failedStatus(_ failure: NodeFailure, of node: EdgeNode, now: String) -> EdgeNodeStatus {
    var status = node.status ?? EdgeNodeStatus()
    status.observedGeneration = node.metadata.generation
    for type in ["Ready", "ConfigSynced"] {
        status.conditions.set(
            Condition(
                type: type, status: .false, reason: failure.reason, message: failure.message,
                observedGeneration: node.metadata.generation), now: now)
    }
    return status
}

private struct Verdict {
    var status: Condition.Status
    var reason: String
    var message: String

    var isTrue: Bool { status == .true }

    init(_ status: Condition.Status, _ reason: String, _ message: String) {
        self.status = status
        self.reason = reason
        self.message = message
    }
}

private func enrolledVerdict(_ outcome: NodeOutcome) -> Verdict {
    if outcome.report == nil, let failure = outcome.failure { return Verdict(.false, failure.reason, failure.message) }
    guard let report = outcome.report, report.relayPublicKey != nil else {
        return Verdict(
            .false, outcome.failure?.reason ?? "NotYetEnrolled", outcome.failure?.message ?? "the VPS has not been enrolled yet")
    }
    return Verdict(.true, "Enrolled", "agent \(report.agentBuild) answers on \(outcome.node.spec.address)")
}

private func tunnelVerdict(_ outcome: NodeOutcome) -> Verdict {
    let peers = outcome.plan.relay.wireGuard.peers
    guard let report = outcome.report else {
        return Verdict(.unknown, "NotReached", "the VPS was not reached, so nothing is known of the tunnel")
    }
    let known = Set(peers.map(\.publicKey))
    // One that answers through the tunnel has a session, whatever the VPS's clock says.
    let fresh = report.peers.filter {
        known.contains($0.publicKey) && ($0.uplink != nil || ($0.handshakeAge ?? .max) <= staleHandshakeSeconds)
    }
    if fresh.count == peers.count, !peers.isEmpty {
        if let narrow = narrowPath(fresh, wanted: outcome.plan.relay.wireGuard.mtu) {
            return Verdict(.true, "PathMTUTooSmall", narrow)
        }
        let all = peers.count == 1 ? "the uplink has" : "all \(peers.count) uplinks have"
        return Verdict(.true, "HandshakeFresh", "\(all) shaken hands within \(staleHandshakeSeconds) s")
    }
    if !fresh.isEmpty {
        let missing = peers.filter { peer in !fresh.contains { $0.publicKey == peer.publicKey } }.map { String($0.ordinal) }
        return Verdict(
            .true, "SomeUplinksDown",
            "\(fresh.count) of \(peers.count) uplinks are connected; down: \(missing.joined(separator: ", "))")
    }
    if let dropped = report.tunnelDropped { return Verdict(.false, "BlockedByFirewall", dropped) }
    let port = outcome.node.spec.tunnel.listenPort
    return Verdict(
        .false, "NoHandshake",
        "no uplink has shaken hands within \(staleHandshakeSeconds) s; see whether the uplinks run, and whether UDP port \(port) of "
            + "\(outcome.node.spec.address) is open in the provider's firewall")
}

/// The uplinks whose path drops packets of the tunnel's size; they go on with smaller ones, but what Envoy sends by UDP is lost.
private func narrowPath(_ peers: [PeerReport], wanted: Int) -> String? {
    let narrow = peers.compactMap { peer in peer.uplink?.pathMTU.map { (peer.ordinal, $0) } }.filter { $0.1 < wanted }
    guard let least = narrow.map(\.1).min() else { return nil }
    let names = narrow.map { "\($0.0)" }.joined(separator: ", ")
    return
        "the path of uplink \(names) carries packets of \(least) bytes, not \(wanted), and drops longer ones without a word; TCP "
        + "is kept below that, long UDP datagrams are lost: set spec.tunnel.mtu to \(least)"
}

/// `condition` tells of every deviation; `serving` is false only when the configuration as a whole is not in force.
private func syncedVerdict(_ outcome: NodeOutcome) -> (condition: Verdict, serving: Verdict) {
    if let failure = outcome.failure {
        let verdict = Verdict(.false, failure.reason, failure.message)
        return (verdict, verdict)
    }
    guard let report = outcome.report, report.hash == outcome.relayHash else {
        let verdict = Verdict(.false, "NotYetApplied", "the VPS does not hold the present configuration yet")
        return (verdict, verdict)
    }
    let total = outcome.plan.planned.count
    let serving = Verdict(.true, "Synced", counted(total, "binding") + (total == 1 ? " is applied" : " are applied"))
    if let problem = outcome.plan.nodeProblems.first { return (Verdict(.false, "NetworkTooSmall", problem), serving) }
    if let conflict = outcome.plan.conflicts.first {
        let more = outcome.plan.conflicts.count - 1
        let tail = more > 0 ? " (and \(more) more)" : ""
        return (Verdict(.false, conflict.reason.rawValue, "binding \(conflict.binding): \(conflict.message)\(tail)"), serving)
    }
    for planned in outcome.plan.planned {
        guard let problem = planned.problem else { continue }
        let reason = BindingStatus.Reason.tlsSecretIncomplete.rawValue
        return (Verdict(.false, reason, "binding \(planned.id): \(problem)"), serving)
    }
    let reasons: [ListenerReport.State: BindingStatus.Reason] = [
        .portInUse: .portInUse, .rejected: .rejectedByEnvoy, .filtered: .blockedByFirewall,
    ]
    if let listener = report.listeners.first(where: { reasons[$0.state] != nil }), let reason = reasons[listener.state] {
        return (Verdict(.false, reason.rawValue, "\(listener.name): \(listener.message ?? "no more is known")"), serving)
    }
    return (serving, serving)
}

private func readyMessage(_ outcome: NodeOutcome) -> String {
    let left = outcome.plan.conflicts.count
    let count = outcome.plan.planned.count
    return "\(counted(count, "binding")) through \(counted(outcome.plan.relay.wireGuard.peers.count, "uplink"))"
        + (left > 0 ? "; \(left) left out, see ConfigSynced" : "")
        + (outcome.report?.caveats ?? []).map { "; \($0)" }.joined()
}

/// `1 binding`, `2 bindings`.
func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
