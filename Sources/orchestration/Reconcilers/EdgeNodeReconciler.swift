import Certificates
public import EdgeAPI
import Enrollment
import FoundationEssentials
public import Logging
import NetworkTypes
public import NodeDocument
import Planning
import Sodium

/// Brings one VPS and its uplinks to what the EdgeNode and its PortBindings say. The only writer of both.
///
/// What it promises: a reconcile can stop anywhere and be run again; one with nothing to do costs one exec; the uplinks know of
/// a binding before Envoy sends them its traffic; a fault of one binding stays with that binding; what cannot be done is in the
/// status, with the next step.
public struct EdgeNodeReconciler: Sendable {
    /// How often a healthy node is looked at, for drift.
    public static let resync: Duration = .seconds(180)
    /// How often one is looked at that is applied, but whose uplinks do not all carry traffic yet; see `NextLook`.
    static let settling: Duration = .seconds(1)
    /// How often in a row that is done; what is down for longer is looked for less often.
    static let quickLooks = 30
    static let slowSettling: Duration = .seconds(10)
    /// How long a VPS may take for all that one reconcile asks of it: a first enrollment pushes some 50 MB, and the host unpacks, checks
    /// and starts it.
    static let patience: Duration = .seconds(900)

    let store: any ResourceStore
    let sessions: NodeSessions
    let outcomes: NodeOutcomes
    let writer: WriterFence
    let logger: Logger
    private let planning = PlanningTurns()
    /// Where bindings may lead.
    public var targets = TargetPolicy()
    /// `patience`; a test has less.
    var patience = Self.patience

    public init(store: any ResourceStore, sessions: NodeSessions, outcomes: NodeOutcomes, writer: WriterFence, logger: Logger) {
        self.store = store
        self.sessions = sessions
        self.outcomes = outcomes
        self.writer = writer
        self.logger = logger
    }

    /// Reconciles the EdgeNode of that name, and writes its status.
    public func reconcile(_ name: ObjectName) async -> ReconcileOutcome {
        do throws(StoreError) {
            guard let node = try await store.edgeNode(name) else {
                outcomes.set(nil, for: name)
                writer.forget(name)
                await sessions.remove(name)
                return .done(requeueAfter: nil)
            }
            if node.metadata.deletionTimestamp != nil { return await delete(node) }
            do throws(StoreError) {
                try await store.holdNode(node)
                return try await bringUp(node)
            } catch {
                return await tell(error, of: node)
            }
        } catch {
            logger.error("the store failed", metadata: ["edgeNode": "\(name)", "error": "\(error)"])
            return .failed
        }
    }

    // MARK: bringing up

    /// - Parameter lost: the bindings whose certificates the VPS said it does not have.
    private func bringUp(
        _ node: EdgeNode, lost: Set<String> = [], deadline: ContinuousClock.Instant? = nil
    ) async throws(StoreError) -> ReconcileOutcome {
        let begin = ContinuousClock().now
        let deadline = deadline ?? begin + patience
        let name = node.metadata.objectName
        var input = try await planInput(node)
        input.lostCertificates = lost
        var planned = try await self.plan(input)
        try await handOver(&planned, of: node)
        let plan = planned.plan
        // The uplinks first, where the relay's key is known: they must forward a new port before Envoy sends its traffic there.
        if let content = planned.uplinks { try await publish(content, planned.uplinkHash, of: node) }
        let before = outcomes[name]?.outcome
        var outcome = NodeOutcome(
            node: node, plan: plan, relayHash: planned.relayHash, uplinkHash: planned.uplinkHash, report: nil, failure: nil)
        outcome.uplinkName = store.uplinkName(of: node)
        outcome.keysOnEdge = before?.keysOnEdge ?? []
        let restart = restartRequest(of: node)
        var missing: Set<String> = []
        outcome.askedAt = .now
        do throws(NodeFailure) {
            let report = try await apply(outcome, node: node, restart: restart, until: deadline)
            missing = Set(report.missingSecrets ?? []).intersection(plan.relay.envoy.keptCertificates)
            outcome.report = report
            await tell(report, of: node)
            outcome.keysOnEdge = await tellOfKeys(report, plan: plan, before: outcome.keysOnEdge)
        } catch {
            outcome.failure = error
        }
        if !missing.isEmpty {
            // A VPS tells all that it lacks at once. One that then lacks something else is asked to keep nothing, so that it has no say in how
            // often this is done.
            let gone = lost.isEmpty ? missing : Set(plan.relay.envoy.keptCertificates)
            return try await bringUp(node, lost: lost.union(gone), deadline: deadline)
        }
        if let report = outcome.report, let key = report.relayPublicKey,
            key != node.status?.relayPublicKey || report.linkPin?.description != node.status?.linkPin && plan.relay.link != nil
                || report.sshHostKey != node.status?.sshHostKey && plan.relay.link?.takesSSH == true,
            let content = plan.uplinkContent(relayKey: key, linkPin: report.linkPin, sshHostKey: report.sshHostKey)
        {
            outcome.uplinkHash = try await publish(content, of: node)
        }
        if outcome.wait == .uplinks { outcome.uplinkComplaint = await store.uplinkComplaint(of: node) }
        outcome.relayPublicKey = outcome.report?.relayPublicKey ?? node.status?.relayPublicKey
        if let before {
            outcome.formers = FormerDocuments(before: before, now: outcome)
            outcome.keepWord(of: before)
        }
        outcome.pods = before?.pods
        // Every uplink holds the present document.
        if outcome.wait != .uplinks { outcome.formers = FormerDocuments() }
        if let before, before.isSameWait(as: outcome) { outcome.unsettledLooks = before.unsettledLooks + 1 }
        let next = followUp(&outcome, of: name)
        outcomes.set(outcome.withoutConfiguration(), for: name)
        try await tellStatus(of: name)
        if restart != nil, outcome.report?.outcome == .applied {
            try await store.removeAnnotation(APIName.restartEnvoyAnnotation, of: node)
        }
        if let failure = outcome.failure { await tell(failure, of: node) }
        let took = (ContinuousClock().now - begin) / .milliseconds(1)
        logger.debug("reconciled", metadata: ["edgeNode": "\(name)", "milliseconds": "\(Int(took.rounded()))"])
        return next
    }

    private struct Planned: Sendable {
        var plan: Plan
        var relayHash: SHA256Digest
        /// The uplinks' part; nil while the relay's key is unknown.
        var uplinks: UplinkContent?
        var uplinkHash: SHA256Digest?
    }

    private func plan(_ input: PlanInput) async throws(StoreError) -> Planned {
        let name = input.node.metadata.objectName
        do throws(DocumentError) {
            let planned = try await planning.run(for: name.namespace) { () throws(DocumentError) in
                let plan = makePlan(input)
                let status = input.node.status
                let uplinks = plan.uplinkContent(
                    relayKey: status?.relayPublicKey, linkPin: status?.linkPin.flatMap { SHA256Digest($0) },
                    sshHostKey: status?.sshHostKey)
                return Planned(
                    plan: plan, relayHash: try plan.relay.digest(), uplinks: uplinks, uplinkHash: try uplinks?.digest())
            }
            if let planned { return planned }
        } catch {
            throw StoreError("the plan of EdgeNode \(name) cannot be written: \(error)")
        }
        throw StoreError("the reconcile of EdgeNode \(name) was stopped")
    }

    /// Where uplinks elsewhere joined, the VPS gets what it hands them.
    private func handOver(_ planned: inout Planned, of node: EdgeNode) async throws(StoreError) {
        guard planned.plan.relay.link != nil, let content = planned.uplinks, let hash = planned.uplinkHash else { return }
        let document = UplinkDocument(owner: owner(of: node), hash: hash, content: content)
        guard let handed = try await store.handOver(document, of: node) else { return }
        planned.plan.relay.link?.handed = handed
        do throws(DocumentError) {
            planned.relayHash = try planned.plan.relay.digest()
        } catch {
            throw StoreError("the plan of EdgeNode \(node.metadata.objectName) cannot be written: \(error)")
        }
    }

    private func apply(
        _ outcome: NodeOutcome, node: EdgeNode, restart: String?, until deadline: ContinuousClock.Instant
    ) async throws(NodeFailure) -> AgentReport {
        let secret = try await sshSecret(of: node)
        let document = RelayDocument(
            agentBuild: sessions.agentBuild, owner: owner(of: node), epoch: writer.epoch(for: node.metadata.objectName),
            writer: writer.writer, hash: outcome.relayHash, content: outcome.plan.relay, restartEnvoy: restart,
            uplinkHash: outcome.uplinkHash)
        let sessions = sessions
        return try await talk(to: node, until: deadline) { () throws(EnrollmentError) in
            try await sessions.link(to: node, secret: secret).apply(document)
        }
    }

    /// - Parameter known: the content's hash; nil where it is to be computed.
    /// - Returns: the hash.
    @discardableResult
    private func publish(
        _ content: UplinkContent, _ known: SHA256Digest? = nil, of node: EdgeNode
    ) async throws(StoreError) -> SHA256Digest {
        let hash: SHA256Digest
        do throws(DocumentError) {
            if let known { hash = known } else { hash = try content.digest() }
        } catch {
            throw StoreError("the uplinks' document of EdgeNode \(node.metadata.objectName) cannot be written: \(error)")
        }
        try await store.publish(UplinkDocument(owner: owner(of: node), hash: hash, content: content), for: node)
        return hash
    }

    func owner(of node: EdgeNode) -> Owner {
        Owner(installation: writer.installation, namespace: node.metadata.namespace, name: node.metadata.name)
    }

    private func restartRequest(of node: EdgeNode) -> String? {
        node.metadata.annotations[APIName.restartEnvoyAnnotation] == "false" ? nil : store.restartRequest(of: node)
    }

    // MARK: telling

    private func tell(_ report: AgentReport, of node: EdgeNode) async {
        let name = node.metadata.objectName
        if !report.changes.isEmpty {
            logger.info(
                "the VPS was changed", metadata: ["edgeNode": "\(name)", "changes": "\(report.changes.joined(separator: "; "))"])
        }
        for found in report.drift {
            await store.record(
                ResourceEvent(kind: EdgeNode.kind, name: name, level: .warning, reason: "DriftRepaired", message: found))
        }
        for found in uplinkRepairs(report.peers, before: outcomes[name]?.outcome.report?.peers ?? []) {
            await store.record(
                ResourceEvent(kind: EdgeNode.kind, name: name, level: .warning, reason: "DriftRepaired", message: found))
        }
        if let restart = report.envoyRestart {
            await store.record(
                ResourceEvent(kind: EdgeNode.kind, name: name, level: .normal, reason: "EnvoyRestarted", message: restart))
        }
        for problem in report.problems {
            await store.record(
                ResourceEvent(kind: EdgeNode.kind, name: name, level: .warning, reason: "AgentProblem", message: problem.message))
        }
    }

    /// Warns of each private key that reached the VPS for the first time. A controller that has just started cannot know what
    /// is there already, so an apply that changed nothing brought none.
    /// - Returns: the bindings whose key is there now.
    private func tellOfKeys(_ report: AgentReport, plan: Plan, before: Set<BindingID>) async -> Set<BindingID> {
        var present: Set<BindingID> = []
        for binding in plan.planned {
            guard let secret = binding.keySecret else { continue }
            present.insert(binding.id)
            guard !report.changes.isEmpty, !before.contains(binding.id) else { continue }
            await store.record(
                ResourceEvent(
                    kind: PortBinding.kind, name: binding.id.owner, level: .warning, reason: "PrivateKeyOnEdge",
                    message:
                        "the private key of Secret \(secret) was copied to the VPS, where binding \(binding.id.name) ends TLS"))
        }
        return present
    }
}

extension NodeFailure {
    func event(of node: EdgeNode) -> ResourceEvent {
        ResourceEvent(
            kind: EdgeNode.kind, name: node.metadata.objectName, level: .warning, reason: reason, message: message)
    }

    init(_ error: StoreError) {
        self.init(reason: error.reason, message: error.message, followUp: error.followUp)
    }

    init(_ error: EnrollmentError) {
        self.init(reason: error.reason.rawValue, message: error.message, followUp: error.followUp)
    }
}

func rfc3339(_ date: Date) -> String { date.formatted(.iso8601) }

extension Plan {
    /// The uplinks' part; nil before the VPS told of its keys.
    fileprivate func uplinkContent(
        relayKey: WireGuardPublicKey?, linkPin: SHA256Digest?, sshHostKey: String?
    ) -> UplinkContent? {
        guard let relayKey, relay.link == nil || linkPin != nil else { return nil }
        let content = uplinkContent(relayPublicKey: relayKey, linkPin: linkPin, sshHostKey: sshHostKey)
        // Without any way left they keep the one they had.
        return content.link == nil && relay.link?.hasWireGuard == false ? nil : content
    }
}
