import Documents
import EdgeAPI
import Fixtures
import JSON
import ManifestStore
import NetworkTypes
import NodeDocument
import Planning
import Sodium

@testable import NodeAgent
@testable import UplinkAgent

/// Files of manifests, and all that follows from them: what is accepted is written and read as the same, every set of objects
/// can be planned, and the VPS and the uplinks accept what was planned for them.
@Sendable func fuzzManifests(_ input: [UInt8]) {
    let file = ManifestFile(bytes: input, name: input.first == UInt8(ascii: "{") ? "fuzz.json" : "fuzz.yaml")
    for problem in file.problems { requirePrintable(problem.description) }
    var nodes: [EdgeNode] = []
    var portBindings: [PortBinding] = []
    var services: [ObjectName: Service] = [:]
    for placed in file.manifests {
        switch placed.manifest {
        case .edgeNode(let node):
            requireSame(node, node.fieldValue) { EdgeNode.decode($0) }
            nodes.append(node)
        case .portBinding(let binding):
            requireSame(binding, binding.fieldValue) { PortBinding.decode($0) }
            portBindings.append(binding)
        case .remoteService(let service): requireSame(service, service.fieldValue) { RemoteService.decode($0) }
        case .service(let service): services[service.metadata.objectName] = service
        case .secret(let secret):
            let again = required("a Secret that was written can be read") { () throws(SyntaxProblem) in
                Secret.decode(try FieldNode(json: secret.secretJSON())).value
            }
            require(again.data == secret.data, "a Secret keeps its data")
        }
    }
    for node in nodes where node.spec.uplink.replicas <= 200 { requirePlan(node, portBindings, services) }
}

private func requireSame<Object: Equatable>(_ object: Object, _ value: FieldValue, _ decode: (FieldNode) -> Decoded<Object>) {
    let decoded = decode(FieldNode(value: value))
    require(decoded.problems.isEmpty, "what was accepted is accepted again: \(decoded.problems)")
    require(decoded.value == object, "\(object) is read as what it was")
}

private let material = TLSMaterial(certificateChain: "CHAIN\n", privateKey: "KEY\n", certificateAuthority: "CA\n")

private func requirePlan(_ node: EdgeNode, _ portBindings: [PortBinding], _ services: [ObjectName: Service]) {
    var portBindings = portBindings
    for index in portBindings.indices {
        portBindings[index].metadata.namespace = node.metadata.namespace
        portBindings[index].spec.edgeNodeName = node.metadata.name
        portBindings[index].metadata.deletionTimestamp = nil
    }
    let secrets = portBindings.flatMap { owner in
        owner.spec.bindings.compactMap { $0.tls?.mode.secretRef?.objectName(in: owner.metadata) }
    }
    let input = required("there are keys") {
        try planInput(
            node, portBindings, services: Array(services.values),
            certificates: Dictionary(secrets.map { ($0, .usable(material)) }, uniquingKeysWith: { first, _ in first }))
    }
    let plan = makePlan(input)
    require(
        plan.planned.count + plan.exclusions.count == portBindings.reduce(0) { $0 + $1.spec.bindings.count },
        "each binding is planned or in conflict")
    for conflict in plan.exclusions { requirePrintable(conflict.message) }
    let document = required("a plan has a hash") { () throws(DocumentError) in
        RelayDocument(
            agentBuild: "b1", owner: Owner(installation: "i", namespace: node.metadata.namespace, name: node.metadata.name),
            epoch: 1, hash: try plan.relay.digest(), content: plan.relay)
    }
    let bytes = required("a document can be written") { () throws(DocumentError) in try DocumentJSON.encode(document) }
    let read = required("the agent accepts what was planned") { () throws(AgentError) in try readDocument(bytes, build: "b1") }
    require(read == .document(document), "the agent reads what was planned")
    let uplinks = required("uplinks have a document") {
        let content = plan.uplinkContent(relayPublicKey: try publicKey(9))
        return try DocumentJSON.encode(UplinkDocument(owner: document.owner, hash: content.digest(), content: content))
    }
    _ = required("the uplinks accept what was planned") { () throws(UplinkError) in
        try DocumentFile.parse(uplinks, path: "document.json")
    }
}
