import EdgeAPI
import Fixtures
import NetworkTypes
import NodeDocument
import Planning
import Sodium

@testable import Reconcilers

/// An outcome in which all is well, for tests to spoil: 2 uplinks; bindings `web` (TCP 80) and `dns` (UDP 53) of PortBinding `b`.
func goodOutcome(_ portBindings: [PortBinding]? = nil, replicas: Int = 2, network: String = "10.200.0.0/24") throws -> NodeOutcome
{
    let bindings = try portBindings ?? [goodPortBinding()]
    let node = try edgeNode(replicas: replicas, network: network)
    let plan = makePlan(try planInput(node, bindings))
    let relayHash = try plan.relay.digest()
    let uplinkHash = try plan.uplinkContent(relayPublicKey: publicKey(99)).digest()
    let targets = plan.planned.map { TargetReport(binding: $0.id.name, reachable: $0.listener.hasPrefix("udp") ? nil : true) }
    let report = AgentReport(
        outcome: .applied, agentBuild: "b1", hash: relayHash, epoch: 1, relayPublicKey: try publicKey(99),
        wireGuardKind: "kernel",
        envoyVersion: "1.40.0", listeners: plan.relay.listeners.map { ListenerReport(name: $0.name, state: .active) },
        peers: plan.relay.wireGuard.peers.map { peer in
            PeerReport(
                ordinal: peer.ordinal, publicKey: peer.publicKey, handshakeAge: 10, receivedBytes: 1, sentBytes: 2,
                uplink: UplinkReport(
                    ordinal: peer.ordinal, hash: uplinkHash, ready: true, reason: nil, handshakeAge: 10, receivedBytes: 2,
                    sentBytes: 1,
                    wireGuardKind: "kernel", targets: targets))
        })
    return NodeOutcome(node: node, plan: plan, relayHash: relayHash, uplinkHash: uplinkHash, report: report, failure: nil)
}

func goodPortBinding() throws -> PortBinding { portBinding("b", [try tcp("web", 80), try udp("dns", 53)]) }
