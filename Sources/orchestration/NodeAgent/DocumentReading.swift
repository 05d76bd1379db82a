import NetworkTypes
public import NodeDocument

/// What came on standard input.
public enum IncomingDocument: Hashable, Sendable {
    case document(RelayDocument)
    /// It wants another build of the agent; nothing more of it was read.
    case needsAgent(build: String)
}

/// Reads and checks a `RelayDocument`.
/// - Parameter build: of this agent.
/// - Throws: `AgentError` of kind `badDocument` that names the field.
public func readDocument(_ bytes: [UInt8], build: String) throws(AgentError) -> IncomingDocument {
    let document: RelayDocument
    do throws(AgentError) {
        document = try decode(bytes)
    } catch {
        // A document of another build may look different.
        let envelope: Envelope = try decode(bytes)
        if envelope.agentBuild != build { return .needsAgent(build: envelope.agentBuild) }
        try checkFormat(envelope.format)
        throw error
    }
    if document.agentBuild != build { return .needsAgent(build: document.agentBuild) }
    try checkFormat(document.format)
    try check(document)
    return .document(document)
}

private func checkFormat(_ format: Int) throws(AgentError) {
    guard format == RelayDocument.currentFormat else {
        throw AgentError(.badDocument, "the document has format \(format); this agent reads \(RelayDocument.currentFormat)")
    }
}

private struct Envelope: Decodable {
    var format: Int
    var agentBuild: String
}

private func decode<Value: Decodable>(_ bytes: [UInt8]) throws(AgentError) -> Value {
    do throws(DocumentError) {
        return try DocumentJSON.decode(Value.self, from: bytes)
    } catch {
        throw AgentError(.badDocument, "the document cannot be read: \(error.message)")
    }
}

/// What the types alone do not say. Names become file names, and a DNS label leads out of no folder.
private func check(_ document: RelayDocument) throws(AgentError) {
    let envoy = document.content.envoy
    func wrong(_ reason: String) -> AgentError { AgentError(.badDocument, "the document is refused: \(reason)") }
    guard isSafeFileName(envoy.release.version.lowercased()) else {
        throw wrong("\"\(printable(envoy.release.version))\" is no Envoy version")
    }
    var names: Set<String> = []
    for binding in envoy.bindings {
        if let fault = binding.fault { throw wrong("binding \"\(printable(binding.name))\": \(fault)") }
        guard names.insert(binding.name).inserted else { throw wrong("the binding \(binding.name) is there twice") }
    }
    for listener in document.content.listeners where listener.protocol == .udp && listener.bindings.count > 1 {
        throw wrong("\(listener.bindings.joined(separator: " and ")) share the UDP port \(listener.port)")
    }
    guard (1...10_000_000).contains(envoy.maxConnections) else { throw wrong("maxConnections is \(envoy.maxConnections)") }
    guard (0...86_400).contains(envoy.drainSeconds) else { throw wrong("drainSeconds is \(envoy.drainSeconds)") }
    let (probing, peers) = (envoy.probing, document.content.wireGuard.peers)
    guard (100...86_400_000).contains(probing.intervalMilliseconds), (100...86_400_000).contains(probing.timeoutMilliseconds),
        (1...1000).contains(probing.unhealthyThreshold)
    else { throw wrong("its probes are out of range") }
    guard peers.count <= 253, Set(peers.map(\.ordinal)).count == peers.count else {
        throw wrong("it has more than 253 uplinks, or one of them twice")
    }
    // The least an IPv4 link may have (RFC 791, section 3.2) and the most a link can.
    guard (68...65535).contains(document.content.wireGuard.mtu) else { throw wrong("mtu is \(document.content.wireGuard.mtu)") }
    guard document.content.host.kernelMaxSocketBufferBytes >= 0 else { throw wrong("kernelMaxSocketBufferBytes is negative") }
}

/// `a-z 0-9 - .`, not beginning with a dot, and short enough for any file system.
func isSafeFileName(_ name: String) -> Bool {
    (1...200).contains(name.utf8.count) && name.utf8.first != UInt8(ascii: ".")
        && name.utf8.allSatisfy { ($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x2D || $0 == 0x2E }
}
