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
    let carrying = carryingVerdict(outcome)
    set(
        "Ready",
        [enrolled, synced.serving, tunnel, carrying].first { !$0.isTrue } ?? Verdict(.true, "Ready", readyMessage(outcome)))

    guard let report = outcome.report else {
        // What the VPS said last, as far as the pods do not say otherwise.
        status.uplinks = status.uplinks.map { uplink in
            var result = uplink
            let peer = outcome.plan.relay.wireGuard.peers.first { $0.publicKey == uplink.publicKey }
            if let peer, outcome.objection(to: peer.ordinal) != nil { result.ready = false }
            return result
        }
        if !status.uplinks.isEmpty { status.countReadyUplinks(of: outcome.node) }
        return status
    }
    status.relayPublicKey = report.relayPublicKey ?? status.relayPublicKey
    status.linkPin = report.linkPin?.description ?? status.linkPin
    // Uplinks that are told of it log in: not before the VPS knows them, for there may be who counts refusals and shuts their address out.
    status.sshHostKey = outcome.plan.relay.link?.takesSSH == true ? report.sshHostKey ?? status.sshHostKey : nil
    status.wireGuardKind = report.wireGuardKind
    status.envoyVersion = report.envoyVersion
    status.agentVersion = report.agentBuild
    status.appliedConfigHash = report.hash?.description
    status.appliedBindings = report.hash == outcome.relayHash ? outcome.plan.planned.count : status.appliedBindings
    status.uplinks = outcome.plan.relay.wireGuard.peers.map { peer in
        let seen = report.peers.first { $0.publicKey == peer.publicKey }
        let before = previous?.uplinks.first { $0.publicKey == peer.publicKey }
        return UplinkStatus(
            name: "\(outcome.uplinkName)-\(peer.ordinal)", tunnelIP: peer.address, publicKey: peer.publicKey,
            lastHandshake: seen?.believableAge.map(timestamp) ?? before?.lastHandshake,
            ready: seen.map { outcome.isReady($0) } ?? false,
            carriers: outcome.plan.relay.link == nil ? [] : seen?.uplink?.carriers ?? [])
    }
    status.countReadyUplinks(of: outcome.node)
    return status
}

extension PeerReport {
    /// Seconds since the handshake, as the VPS says; nil also for what no clock can have shown, which is no date to tell anybody.
    fileprivate var believableAge: Int? { handshakeAge.flatMap { (0...315_360_000).contains($0) ? $0 : nil } }
}

extension EdgeNodeStatus {
    fileprivate mutating func countReadyUplinks(of node: EdgeNode) {
        readyUplinks = "\(uplinks.count { $0.ready })/\(node.spec.uplink.replicas)"
    }
}

/// The status of a node that could not be reconciled at all: what was known stays, and Ready says why it may be out of date.
func failedStatus(_ failure: NodeFailure, of node: EdgeNode, now: String) -> EdgeNodeStatus {
    var status = node.status ?? EdgeNodeStatus()
    status.observedGeneration = node.metadata.generation
    for type in failedConditions {
        status.conditions.set(
            Condition(
                type: type, status: .false, reason: failure.reason, message: failure.fullMessage,
                observedGeneration: node.metadata.generation), now: now)
    }
    return status
}

/// What a node that could not be reconciled is not.
let failedConditions = ["Ready", "ConfigSynced"]

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
    if outcome.report == nil, let failure = outcome.failure { return Verdict(.false, failure.reason, failure.fullMessage) }
    guard let report = outcome.report, report.relayPublicKey != nil else {
        return Verdict(
            .false, outcome.failure?.reason ?? "NotYetEnrolled",
            outcome.failure?.fullMessage ?? "the VPS has not been enrolled yet")
    }
    return Verdict(.true, "Enrolled", "agent \(report.agentBuild) answers on \(outcome.node.spec.address)")
}

private func tunnelVerdict(_ outcome: NodeOutcome) -> Verdict {
    let peers = outcome.plan.relay.wireGuard.peers
    if let fallen = fallenPods(outcome) { return fallen }
    guard let report = outcome.report else {
        return Verdict(.unknown, "NotReached", "the VPS was not reached, so nothing is known of the tunnel")
    }
    let known = Set(peers.map(\.publicKey))
    // One that answers through the tunnel has a session, whatever the VPS's clock says.
    let fresh = report.peers.filter {
        known.contains($0.publicKey) && outcome.objection(to: $0.ordinal) == nil
            && ($0.uplink != nil || ($0.links?.count ?? 0) > 0 || ($0.believableAge ?? .max) <= staleHandshakeSeconds)
    }
    if fresh.count == peers.count, !peers.isEmpty {
        if let narrow = narrowPath(fresh, wanted: outcome.plan.relay.wireGuard.mtu) {
            return Verdict(.true, "PathMTUTooSmall", narrow)
        }
        if let (ordinal, words) = fresh.lazy.compactMap({ peer in peer.uplink?.crowding.map { (peer.ordinal, $0) } }).first {
            return Verdict(.true, "ConntrackTooSmall", "on the host of uplink \(ordinal), \(words)")
        }
        if let link = outcome.plan.relay.link { return linkedVerdict(fresh, link, sshObstacle: report.sshObstacle) }
        let all = peers.count == 1 ? "the uplink has" : "all \(peers.count) uplinks have"
        return Verdict(.true, "HandshakeFresh", "\(all) shaken hands within \(staleHandshakeSeconds) s")
    }
    if !fresh.isEmpty {
        let missing = peers.filter { peer in !fresh.contains { $0.publicKey == peer.publicKey } }.map { String($0.ordinal) }
        return Verdict(
            .true, "SomeUplinksDown",
            "\(fresh.count) of \(peers.count) uplinks are connected; down: \(missing.joined(separator: ", "))")
    }
    // The VPS knows which setting it is, where the uplink hears no more than a refusal.
    if let obstacle = report.sshObstacle, outcome.plan.relay.link?.carriers == [.ssh] {
        return Verdict(.false, "RefusedBySSHD", obstacle)
    }
    // What it knows of itself comes before what could be wrong elsewhere.
    if let words = outcome.uplinkComplaint { return Verdict(.false, "UplinkFailed", words) }
    if let dropped = report.tunnelDropped { return Verdict(.false, "BlockedByFirewall", dropped) }
    if let obstacle = report.sshObstacle { return Verdict(.false, "RefusedBySSHD", obstacle) }
    let port = outcome.node.spec.tunnel.listenPort
    if let link = outcome.plan.relay.link {
        let tcp = [link.envoyPort, link.takesSSH ? outcome.node.spec.ssh.port : nil].compactMap { $0.map { "TCP port \($0)" } }
        let ports = (tcp + (link.hasWireGuard ? ["UDP port \(port)"] : [])).joined(separator: " or ")
        return Verdict(
            .false, "NotConnected",
            "no uplink is connected by \(link.carriers.map(\.rawValue).joined(separator: ", ")); see whether the uplinks run and what they "
                + "log, and whether \(ports) of \(outcome.node.spec.address) is open in the provider's firewall")
    }
    return Verdict(
        .false, "NoHandshake",
        "no uplink has shaken hands within \(staleHandshakeSeconds) s; see whether the uplinks run, and whether UDP port \(port) of "
            + "\(outcome.node.spec.address) is open in the provider's firewall")
}

/// By which ways all uplinks are connected, and which one does not carry.
private func linkedVerdict(_ peers: [PeerReport], _ link: RelayLink, sshObstacle: String?) -> Verdict {
    var ways: [String: [Int]] = [:]
    for peer in peers {
        let carriers = peer.uplink?.carriers ?? []
        let name = carriers.isEmpty ? "a way that it did not tell" : carriers.map(\.rawValue).joined(separator: " and ")
        ways[name, default: []].append(peer.ordinal)
    }
    let words = ways.sorted { $0.key < $1.key }.map { name, ordinals in
        ordinals.count == peers.count ? "by \(name)" : "\(ordinals.map(String.init).joined(separator: ", ")) by \(name)"
    }
    let all = "\(counted(peers.count, "uplink")) \(peers.count == 1 ? "is" : "are") connected \(words.joined(separator: "; "))"
    // What the VPS knows of it comes before what an uplink makes of a refusal.
    if let sshObstacle, link.carriers.first == .ssh { return Verdict(.true, "CarrierDown", "\(all); SSH: \(sshObstacle)") }
    if let (ordinal, problem) = peers.lazy.compactMap({ peer in peer.uplink?.carrierProblem.map { (peer.ordinal, $0) } }).first {
        return Verdict(.true, "CarrierDown", "\(all); uplink \(ordinal): \(problem)")
    }
    return Verdict(.true, "Connected", all)
}

/// That no pod is left that could have a tunnel; nil where one may.
private func fallenPods(_ outcome: NodeOutcome) -> Verdict? {
    let ordinals = outcome.plan.relay.wireGuard.peers.map(\.ordinal)
    let fallen = ordinals.compactMap { ordinal in outcome.objection(to: ordinal).map { (ordinal, $0) } }
    guard let first = fallen.first, fallen.count == ordinals.count else { return nil }
    let pods = "the pods \(outcome.uplinkName)-* in namespace \(outcome.node.spec.uplink.namespace)"
    if fallen.allSatisfy(\.1.isGone) {
        return Verdict(
            .false, "UplinkPodsMissing", "no uplink has a pod that serves (\(first.0): \(first.1.words)); see \(pods)")
    }
    return Verdict(
        .false, "UplinkPodsNotReady",
        "no uplink's pod is ready any more (\(first.0): \(first.1.words)): it has no tunnel to the VPS, or has stopped; "
            + "see \(pods)")
}

/// Whether an uplink is ready; one that shook hands may still have no document, or be silent.
private func carryingVerdict(_ outcome: NodeOutcome) -> Verdict {
    let ready = Verdict(.true, "Ready", "")
    guard let report = outcome.report, !report.peers.isEmpty, !report.peers.contains(where: outcome.isReady) else { return ready }
    return Verdict(.false, BindingStatus.Reason.uplinksDown.rawValue, uplinksDownMessage(outcome, report))
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
        let verdict = Verdict(.false, failure.reason, failure.fullMessage)
        return (verdict, verdict)
    }
    guard let report = outcome.report, report.hash == outcome.relayHash else {
        let verdict = Verdict(.false, "NotYetApplied", "the VPS does not hold the present configuration yet")
        return (verdict, verdict)
    }
    let total = outcome.plan.planned.count
    let serving = Verdict(.true, "Synced", counted(total, "binding") + (total == 1 ? " is applied" : " are applied"))
    if let problem = outcome.plan.nodeProblems.first { return (Verdict(.false, "NetworkTooSmall", problem), serving) }
    if let problem = outcome.plan.linkProblem { return (Verdict(.false, "LinkSecretIncomplete", problem), serving) }
    if let exclusion = outcome.plan.exclusions.first {
        let more = outcome.plan.exclusions.count - 1
        let tail = more > 0 ? " (and \(more) more)" : ""
        return (Verdict(.false, exclusion.reason.rawValue, "binding \(exclusion.binding): \(exclusion.message)\(tail)"), serving)
    }
    for planned in outcome.plan.planned {
        guard let problem = planned.problem else { continue }
        let reason = BindingStatus.Reason.tlsSecretIncomplete.rawValue
        return (Verdict(.false, reason, "binding \(planned.id): \(problem)"), serving)
    }
    if let (name, refusal) = report.refusedBindings?.min(by: { $0.key < $1.key }) {
        return (Verdict(.false, BindingStatus.Reason.rejectedByEnvoy.rawValue, "binding \(name): \(refusal)"), serving)
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
    let left = outcome.plan.exclusions.count
    let count = outcome.plan.planned.count
    return "\(counted(count, "binding")) through \(counted(outcome.plan.relay.wireGuard.peers.count, "uplink"))"
        + (left > 0 ? "; \(left) left out, see ConfigSynced" : "")
        + (outcome.report?.caveats ?? []).map { "; \($0)" }.joined()
}

/// `1 binding`, `2 bindings`.
func counted(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
