import EdgeAPI
import Enrollment
import Fixtures
import NetworkTypes
import NodeDocument
import SSH
import Sodium
import Synchronization

@testable import Reconcilers

/// A VPS that holds whatever it is sent, or fails as it is told.
final class FakeVPS: Sendable {
    struct State {
        var relayKey: WireGuardPublicKey?
        var failure: EnrollmentError?
        var document: RelayDocument?
        var problems: [AgentProblem] = []
        var drift: [String] = []
        /// What every uplink answers; nil for silence. Its hash is made that of the published document.
        var uplink: UplinkReport?
        var listenerState = ListenerReport.State.active
        /// Bindings for which Envoy sees no healthy uplink.
        var starved: [String] = []
        /// Secrets that it does not have, should a document keep them.
        var lacks: Set<String> = []
        var whileTearingDown: (@Sendable () async -> Void)?
    }

    let state = Mutex(State())
    private let journal: Journal

    init(_ journal: Journal) throws {
        self.journal = journal
        let key = try publicKey(99)
        state.withLock { $0.relayKey = key }
    }

    /// - Parameter secretMatters: make the fingerprint follow the Secret, as it does in earnest.
    func sessions() -> NodeSessions {
        NodeSessions(agentBuild: "b1", envoyRelease: EnvoyRelease(version: "1.40.0", sha256: nil, url: nil)) {
            node, secret, _ throws(EnrollmentError) in
            if secret.data.isEmpty { throw EnrollmentError(reason: .sshSecretInvalid, message: "empty", followUp: .waiting) }
            let word = secret.data.keys.sorted().joined(separator: ",")
            return NodeLink(
                fingerprint: SHA256.digest(of: word),
                apply: { document throws(EnrollmentError) in try self.apply(document) },
                teardown: { request throws(EnrollmentError) in
                    await self.state.withLock { $0.whileTearingDown }?()
                    return try self.teardown(request.owner)
                },
                statistics: { SSHStatistics() },
                close: { self.journal.add("close \(word)") })
        }
    }

    private func apply(_ document: RelayDocument) throws(EnrollmentError) -> AgentReport {
        journal.add("apply")
        return try state.withLock { state throws(EnrollmentError) in
            if let failure = state.failure { throw failure }
            let missing = document.content.envoy.keptCertificates.filter(state.lacks.contains)
            if !missing.isEmpty {
                var report = AgentReport(outcome: .needsSecrets, agentBuild: document.agentBuild, hash: state.document?.hash)
                report.missingSecrets = missing
                return report
            }
            let isChanged = state.document?.hash != document.hash
            state.document = document
            var report = AgentReport(
                outcome: .applied, agentBuild: document.agentBuild, hash: document.hash, epoch: document.epoch,
                changes: isChanged ? ["wrote the document"] : [], drift: state.drift, problems: state.problems,
                relayPublicKey: state.relayKey,
                wireGuardKind: "kernel", envoyVersion: "1.40.0",
                listeners: document.content.listeners.map { ListenerReport(name: $0.name, state: state.listenerState) },
                peers: document.content.wireGuard.peers.map {
                    PeerReport(
                        ordinal: $0.ordinal, publicKey: $0.publicKey, handshakeAge: state.uplink == nil ? nil : 5,
                        receivedBytes: 0, sentBytes: 0,
                        uplink: state.uplink)
                }, starved: state.starved)
            if document.restartEnvoy != nil { report.envoyRestart = "Envoy was restarted hot." }
            return report
        }
    }

    private func teardown(_ owner: Owner) throws(EnrollmentError) -> AgentReport? {
        journal.add("teardown \(owner.name)")
        return try state.withLock { state throws(EnrollmentError) in
            if let failure = state.failure { throw failure }
            state.document = nil
            return nil
        }
    }
}

func readyUplink(hash: SHA256Digest?) -> UplinkReport {
    UplinkReport(
        ordinal: 0, hash: hash, ready: true, reason: nil, handshakeAge: 5, receivedBytes: 0, sentBytes: 0,
        wireGuardKind: "kernel", targets: [])
}
