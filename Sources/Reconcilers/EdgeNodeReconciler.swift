import Certificates
public import EdgeAPI
import Enrollment
import FoundationEssentials
public import Logging
import NetworkTypes
import NodeDocument
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
    /// How often one is looked at that is applied, but whose uplinks do not all carry traffic yet.
    static let settling: Duration = .seconds(1)
    /// How often in a row that is done; uplinks that are down for longer are looked for less often.
    static let quickLooks = 30
    static let slowSettling: Duration = .seconds(10)

    let store: any ResourceStore
    let sessions: NodeSessions
    let outcomes: NodeOutcomes
    let writer: Writer
    let logger: Logger

    /// Who writes: the installation and the epoch that fences off earlier writers.
    public struct Writer: Sendable {
        public var installation: String
        public var epoch: @Sendable () -> UInt64
        /// Lifts the epoch above one that a VPS has seen, if this writer is still the only one; nil where that cannot be known.
        public var raise: (@Sendable (_ above: UInt64) async throws(StoreError) -> Void)?

        public init(
            installation: String, epoch: @escaping @Sendable () -> UInt64,
            raise: (@Sendable (_ above: UInt64) async throws(StoreError) -> Void)? = nil
        ) {
            self.installation = installation
            self.epoch = epoch
            self.raise = raise
        }
    }

    public init(store: any ResourceStore, sessions: NodeSessions, outcomes: NodeOutcomes, writer: Writer, logger: Logger) {
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
                await sessions.remove(name)
                return .done(requeueAfter: nil)
            }
            if node.metadata.deletionTimestamp != nil { return try await delete(node) }
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

    /// What the store could not do stands in the status too, if it can be written.
    private func tell(_ error: StoreError, of node: EdgeNode) async -> ReconcileOutcome {
        let name = node.metadata.objectName
        logger.error("the store failed", metadata: ["edgeNode": "\(name)", "error": "\(error)"])
        let failure = NodeFailure(reason: error.reason, message: error.message, followUp: error.followUp)
        do throws(StoreError) {
            try await store.setStatus(failedStatus(failure, of: node, now: rfc3339(Date())), of: node)
            await store.record(failure.event(of: node))
        } catch {
            logger.error("the status cannot be written", metadata: ["edgeNode": "\(name)", "error": "\(error)"])
        }
        return error.followUp == .retry ? .failed : .done(requeueAfter: Self.resync)
    }

    // MARK: bringing up

    /// - Parameter lost: the bindings whose certificates the VPS said it does not have.
    private func bringUp(_ node: EdgeNode, lost: Set<String> = []) async throws(StoreError) -> ReconcileOutcome {
        let begin = ContinuousClock().now
        let name = node.metadata.objectName
        var input = try await planInput(node)
        input.lostCertificates = lost
        let plan = makePlan(input)
        let relayHash: SHA256Digest
        do throws(DocumentError) {
            relayHash = try plan.relay.digest()
        } catch {
            throw StoreError("the plan of EdgeNode \(name) cannot be written: \(error)")
        }
        var outcome = NodeOutcome(node: node, plan: plan, relayHash: relayHash, uplinkHash: nil, report: nil, failure: nil)
        // The uplinks first, where the relay's key is known: they must forward a new port before Envoy sends its traffic there.
        if let key = node.status?.relayPublicKey {
            outcome.uplinkHash = try await publish(plan.uplinkContent(relayPublicKey: key), of: node)
        }
        outcome.keysOnEdge = outcomes[name]?.outcome.keysOnEdge ?? []
        let restart = restartRequest(of: node)
        var missing: Set<String> = []
        do throws(NodeFailure) {
            let report = try await apply(outcome, node: node, restart: restart)
            missing = Set(report.missingSecrets ?? []).intersection(plan.relay.envoy.keptSecrets ?? [])
            outcome.report = report
            await tell(report, of: node)
            outcome.keysOnEdge = await tellOfKeys(report, plan: plan, before: outcome.keysOnEdge)
        } catch {
            outcome.failure = error
        }
        if !missing.isEmpty {
            // The next plan keeps fewer, so this ends.
            return try await bringUp(node, lost: lost.union(missing.map(EnvoyDocument.binding(ofSecret:))))
        }
        if let key = outcome.report?.relayPublicKey, key != node.status?.relayPublicKey {
            outcome.uplinkHash = try await publish(plan.uplinkContent(relayPublicKey: key), of: node)
        }
        let before = outcomes[name]?.outcome
        if !outcome.isSettled, before?.relayHash == outcome.relayHash, before?.uplinkHash == outcome.uplinkHash {
            outcome.unsettledLooks = (before?.unsettledLooks ?? 0) + 1
        }
        outcomes.set(outcome.withoutConfiguration(), for: name)
        try await writeStatus(outcome, node: node, restarted: restart != nil)
        let took = (ContinuousClock().now - begin) / .milliseconds(1)
        logger.debug("reconciled", metadata: ["edgeNode": "\(name)", "milliseconds": "\(Int(took.rounded()))"])
        return await verdict(outcome, node: node)
    }

    private func planInput(_ node: EdgeNode) async throws(StoreError) -> PlanInput {
        let portBindings = try await store.portBindings(of: node.metadata.objectName)
        var services: [ObjectName: Service] = [:]
        var unreadable: [ObjectName: String] = [:]
        var certificates: [ObjectName: CertificateSource] = [:]
        let now = Date()
        for portBinding in portBindings {
            for binding in portBinding.spec.bindings {
                if case .service(let reference, _) = binding.target {
                    let name = reference.objectName(in: portBinding.metadata)
                    if services[name] == nil, unreadable[name] == nil {
                        do throws(StoreError) {
                            services[name] = try await store.service(name)
                        } catch  where error.followUp != .retry {
                            unreadable[name] = error.message
                        }
                    }
                }
                if let name = binding.tls?.mode.secretRef?.objectName(in: portBinding.metadata), certificates[name] == nil {
                    do throws(StoreError) {
                        certificates[name] = try await store.secret(name).map { readTLSSecret($0, now: now) }
                    } catch  where error.followUp != .retry {
                        certificates[name] = .unusable(error.message)
                    }
                }
            }
        }
        var input = PlanInput(
            node: node, portBindings: portBindings, services: services, certificates: certificates,
            uplinkKeys: try await store.uplinkKeys(of: node), envoyRelease: sessions.envoyRelease)
        input.unreadableServices = unreadable
        return input
    }

    private func apply(_ outcome: NodeOutcome, node: EdgeNode, restart: String?) async throws(NodeFailure) -> AgentReport {
        let secret = try await sshSecret(of: node)
        let document = RelayDocument(
            agentBuild: sessions.agentBuild, owner: owner(of: node), epoch: writer.epoch(), hash: outcome.relayHash,
            content: outcome.plan.relay, restartEnvoy: restart)
        do throws(EnrollmentError) {
            return try await sessions.link(to: node, secret: secret).apply(document)
        } catch {
            throw await raisingEpoch(error)
        }
    }

    func sshSecret(of node: EdgeNode) async throws(NodeFailure) -> Secret {
        let name = node.spec.ssh.secretRef.objectName(in: node.metadata)
        let secret: Secret?
        do throws(StoreError) {
            secret = try await store.secret(name)
        } catch {
            throw NodeFailure(reason: error.reason, message: error.message, followUp: error.followUp)
        }
        if let secret { return secret }
        throw NodeFailure(
            reason: "SSHSecretMissing",
            message: "Secret \(name) does not exist; create it with privateKey (or password) and knownHosts",
            followUp: .waiting)
    }

    /// A VPS that has seen a higher epoch belongs to a later writer, or to one whose count was lost (a Lease that was deleted).
    /// Who can still lift the epoch is the only writer, and tries again.
    func raisingEpoch(_ error: EnrollmentError) async -> NodeFailure {
        guard error.reason == .staleEpoch, let seen = error.epochSeen, let raise = writer.raise else { return NodeFailure(error) }
        do throws(StoreError) {
            try await raise(seen)
            return NodeFailure(reason: error.reason.rawValue, message: error.message, followUp: .retry)
        } catch {
            return NodeFailure(reason: error.reason, message: error.message, followUp: error.followUp)
        }
    }

    private func publish(_ content: UplinkContent, of node: EdgeNode) async throws(StoreError) -> SHA256Digest {
        let hash: SHA256Digest
        do throws(DocumentError) {
            hash = try content.digest()
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

    private func writeStatus(_ outcome: NodeOutcome, node: EdgeNode, restarted: Bool) async throws(StoreError) {
        let now = Date()
        let status = edgeNodeStatus(outcome, previous: node.status, now: rfc3339(now)) {
            rfc3339(now.addingTimeInterval(-Double($0)))
        }
        try await store.setStatus(status, of: node)
        // A failure has an event of its own.
        if outcome.failure == nil {
            for event in readinessEvents(
                kind: EdgeNode.kind, name: node.metadata.objectName, before: node.status?.conditions ?? [],
                after: status.conditions)
            {
                await store.record(event)
            }
        }
        if restarted, outcome.report?.outcome == .applied {
            try await store.removeAnnotation(APIName.restartEnvoyAnnotation, of: node)
        }
    }

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

    private func verdict(_ outcome: NodeOutcome, node: EdgeNode) async -> ReconcileOutcome {
        let name = node.metadata.objectName
        if let failure = outcome.failure {
            logger.error(
                "the VPS is not what it should be",
                metadata: ["edgeNode": "\(name)", "reason": "\(failure.reason)", "error": "\(failure.message)"])
            await store.record(failure.event(of: node))
            return failure.followUp == .retry ? .failed : .done(requeueAfter: Self.resync)
        }
        if outcome.isSettled { return .done(requeueAfter: Self.resync) }
        return .done(requeueAfter: outcome.unsettledLooks < Self.quickLooks ? Self.settling : Self.slowSettling)
    }
}

extension NodeFailure {
    func event(of node: EdgeNode) -> ResourceEvent {
        ResourceEvent(
            kind: EdgeNode.kind, name: node.metadata.objectName, level: .warning, reason: reason, message: message)
    }

    init(_ error: EnrollmentError) {
        let followUp: FollowUp
        switch error.followUp {
        case .retry: followUp = .retry
        case .waiting: followUp = .waiting
        case .stalled: followUp = .stalled
        }
        self.init(reason: error.reason.rawValue, message: error.message, followUp: followUp)
    }
}

func rfc3339(_ date: Date) -> String { date.formatted(.iso8601) }
