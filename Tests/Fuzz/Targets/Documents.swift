import EdgeAPI
import EnvoyConfig
import Fixtures
import FoundationEssentials
import ManifestStore
import NetworkTypes
import NodeDocument
import Planning
import Sodium

@testable import NodeAgent
@testable import Reconcilers
@testable import UplinkAgent

/// What the controller sends: to the agent on its standard input, to the uplinks in a ConfigMap.
@Sendable func fuzzDocuments(_ input: [UInt8]) {
    if let document = try? DocumentFile.parse(input, path: "document.json") { requireSame(document) }
    if let request = try? DocumentJSON.decode(TeardownRequest.self, from: input) { requireSame(request) }
    if let header = try? DocumentJSON.decode(EnvoyInstallHeader.self, from: input) { requireSame(header) }
    if let state = try? DocumentJSON.decode(HostState.self, from: input) { requireSame(state) }
    let document: RelayDocument
    do throws(AgentError) {
        guard case .document(let read) = try readDocument(input, build: "b1") else { return }
        document = read
    } catch {
        return
    }
    requireSame(document)
    let envoy = document.content.envoy
    let host = EnvoyHost(hasIPv6: true, memoryBytes: 1 << 30)
    let files = envoy.files(on: host) + [envoy.bootstrapFile(on: host)]
    require(Set(files.map(\.path)).count == files.count, "no two files have one path")
    for file in files {
        let parts = file.path.split(separator: "/", omittingEmptySubsequences: false)
        require(parts.count <= 2 && parts.allSatisfy { !$0.isEmpty && !$0.hasPrefix(".") }, "\(file.path) stays in its folder")
        require(file.path.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }, "\(file.path) is plain")
    }
    _ = envoy.validationBootstrap(on: host, listeners: envoy.listeners, secrets: envoy.secrets)
    _ = envoy.inotifyInstances
}

private func requireSame<Value: Codable & Equatable>(_ value: Value) {
    let again = required("what was read can be written and read") { () throws(DocumentError) in
        try DocumentJSON.decode(Value.self, from: DocumentJSON.encode(value))
    }
    require(again == value, "\(value) is read as what it was")
}

/// What a VPS answers, which may be anybody's by now, up to the statuses that are told from it.
@Sendable func fuzzReports(_ input: [UInt8]) {
    if let report = try? DocumentJSON.decode(UplinkReport.self, from: input) { requireSame(report) }
    let report: AgentReport
    do throws(DocumentError) {
        report = try DocumentJSON.decode(AgentReport.self, from: input)
    } catch {
        return
    }
    requireSame(report)
    var outcome = planned
    outcome.report = report
    if let hash = report.hash { outcome.relayHash = hash }
    outcome.uplinkHash = report.peers.first?.uplink?.hash
    _ = outcome.isSettled
    let now = Date(timeIntervalSince1970: 1_800_000_000)
    let status = edgeNodeStatus(outcome, previous: nil, now: rfc3339(now)) { rfc3339(now.addingTimeInterval(-Double($0))) }
    let node = EdgeNode(metadata: outcome.node.metadata, spec: outcome.node.spec, status: status)
    requireReadable(node.fieldValue) { EdgeNode.decode($0).value == node }
    let indexed = IndexedOutcome(outcome)
    for var binding in bindings {
        binding.status = portBindingStatus(binding, node: outcome.node, outcome: indexed, previous: nil, now: rfc3339(now))
        requireReadable(binding.fieldValue) { PortBinding.decode($0).value == binding }
    }
}

/// A status goes to the API server as JSON, and to a state folder as YAML.
private func requireReadable(_ value: FieldValue, _ isSame: (FieldNode) -> Bool) {
    let json = required("a status is JSON") { () throws(SyntaxProblem) in
        try FieldNode(json: Array(value.json.utf8), limit: .max)
    }
    require(isSame(json), "a status is read from JSON as what it was")
    let (documents, problem) = readYAML(Array(value.yaml.utf8))
    require(problem == nil, "a status is YAML: \(problem.map { "\($0)" } ?? "")")
    require(documents.count == 1 && documents.allSatisfy(isSame), "a status is read from YAML as what it was")
}

private let bindings = [
    required("the bindings are valid") {
        portBinding("b", [try tcp("web", 80), try udp("dns", 53), try tls("shared", 443, ["a.example"])])
    }
]

private let planned = required("the plan is valid") {
    let node = try edgeNode(replicas: 2)
    let plan = makePlan(try planInput(node, bindings))
    return NodeOutcome(
        node: node, plan: plan, relayHash: try plan.relay.digest(), uplinkHash: nil, report: nil, failure: nil)
}
