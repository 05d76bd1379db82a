import Documents
import EdgeAPI
import EnvoyConfig
import Fixtures
import FoundationEssentials
import Glibc
import JSON
import NetworkTypes
import NodeDocument
import Planning
import Sodium
import YAML

@testable import NodeAgent
@testable import Reconcilers
@testable import UplinkAgent

/// What the controller sends: to the agent on its standard input, to the uplinks in a ConfigMap.
@Sendable func fuzzDocuments(_ input: [UInt8]) {
    if let document = try? DocumentFile.parse(input, path: "document.json") { requireSame(document) }
    if let facts = try? DocumentJSON.decode(JoinToken.Facts.self, from: input) { requireSame(facts) }
    if let handed = try? DocumentJSON.decode(HandedDocument.self, from: input) { requireSame(handed) }
    var token = input
    _ = try? JoinToken(consuming: &token)
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
    let configuration = EnvoyConfiguration(document.content)
    let host = EnvoyHost(hasIPv6: true, memoryBytes: 1 << 30)
    let files = configuration.files(on: host) + [configuration.bootstrapFile(on: host)]
    require(Set(files.map(\.path)).count == files.count, "no two files have one path")
    for file in files {
        let parts = file.path.split(separator: "/", omittingEmptySubsequences: false)
        require(parts.count <= 2 && parts.allSatisfy { !$0.isEmpty && !$0.hasPrefix(".") }, "\(file.path) stays in its folder")
        require(file.path.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }, "\(file.path) is plain")
    }
    _ = configuration.validationBootstrap(on: host, listeners: configuration.listeners, bindings: configuration.bindings).json
    _ = required("whatever is rendered can be told to Envoy") { () throws(AgentError) in
        try EnvoyFileSet(configuration, on: host)
    }
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
    // As a session takes it.
    guard let report = try? ReportBounds(of: planned.plan.relay).report(from: input) else { return }
    requireBounded(report)
    var outcome = planned
    outcome.report = report
    if let hash = report.hash { outcome.relayHash = hash }
    outcome.uplinkHash = report.peers.first?.uplink?.hash
    _ = outcome.isSettled
    let now = Date(timeIntervalSince1970: 1_800_000_000)
    let status = edgeNodeStatus(outcome, previous: nil, now: rfc3339(now)) { rfc3339(now.addingTimeInterval(-Double($0))) }
    let node = EdgeNode(metadata: outcome.node.metadata, spec: outcome.node.spec, status: status)
    requireReadable(node.fieldValue) { EdgeNode.decode($0).value?.fieldValue }
    let indexed = IndexedOutcome(outcome)
    for var binding in bindings {
        binding.status = portBindingStatus(binding, node: outcome.node, outcome: indexed, previous: nil, now: rfc3339(now))
        requireReadable(binding.fieldValue) { PortBinding.decode($0).value?.fieldValue }
    }
}

/// What is kept of a report steers no terminal, and speaks of nothing that was not asked for.
private func requireBounded(_ report: AgentReport) {
    let texts =
        report.changes + report.drift + report.problems.map(\.message) + (report.caveats ?? [])
        + [report.agentBuild, report.wireGuardKind, report.envoyVersion, report.envoyRestart, report.tunnelDropped].compactMap {
            $0
        }
        + report.listeners.compactMap(\.message)
        + report.peers.compactMap(\.uplink).flatMap { uplink in
            [uplink.reason, uplink.wireGuardKind, uplink.lastRepair, uplink.crowding].compactMap { $0 }
                + uplink.targets.compactMap(\.message)
        }
    for text in texts {
        requirePrintable(text)
        // One more for the sign that it was cut; what is made visible takes up to ten.
        require(text.unicodeScalars.count <= 10_001, "\(text) is short")
    }
    require(report.changes.count <= 33 && report.drift.count <= 33 && report.problems.count <= 32, "the lists are short")
    let relay = planned.plan.relay
    require(report.listeners.count <= relay.listeners.count, "only listeners that are there")
    require(report.peers.count <= relay.wireGuard.peers.count, "only uplinks that are there")
    for peer in report.peers {
        for age in [peer.handshakeAge, peer.uplink?.handshakeAge] {
            require((0...315_360_000).contains(age ?? 0), "\(peer) is of this world")
        }
    }
}

/// A report of any length made of little: what comes before the first byte 0xFF, then what follows it again and again, then what stands
/// behind the second. Whatever it is, a VPS cannot make the controller work or keep for long. AddressSanitizer makes the time some five
/// times what it is without; `make bench` measures it as it is.
@Sendable func fuzzReportBounds(_ input: [UInt8]) {
    let (head, rest) = halves(input)
    let (unit, tail) = halves(rest)
    let bounds = ReportBounds(of: planned.plan.relay)
    let count = unit.isEmpty ? 0 : (bounds.bytes - min(bounds.bytes, head.count + tail.count)) / unit.count
    var whole = head
    whole.reserveCapacity(bounds.bytes + unit.count)
    for _ in 0..<count { whole += unit }
    whole += tail
    let begun = threadTime()
    if let report = try? bounds.report(from: whole) { requireBounded(report) }
    require(threadTime() - begun < 1, "a report is soon read")
}

/// Seconds of CPU that this thread took.
private func threadTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// A status goes to the API server as JSON, and to a state folder as YAML. NUL becomes another character, all else stays.
private func requireReadable(_ value: FieldValue, _ decoded: (FieldNode) -> FieldValue?) {
    let json = required("a status is JSON") { () throws(SyntaxProblem) in
        try FieldNode(json: Array(value.json.utf8), limit: .max)
    }
    require(decoded(json) == json.plain, "a status is read from JSON as what it was")
    let (documents, problem) = readYAML(Array(value.yaml.utf8))
    require(problem == nil, "a status is YAML: \(problem.map { "\($0)" } ?? "")")
    require(documents.map(\.plain) == [json.plain], "a status is the same in YAML")
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
