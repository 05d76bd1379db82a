import EnvoyConfig
import JSON
import NetworkTypes
import NodeDocument
import Sodium

/// Shows Envoy a configuration before it runs with it (`envoy --mode validate`).
struct EnvoyProof {
    let host: Host
    let folder: EnvoyFolder
    let configuration: EnvoyConfiguration
    let facts: EnvoyHost

    /// Runs of Envoy that the search for what is bad may take, some 70 ms each; what is not cleared by then is left for the next apply.
    private static let patience = 100

    /// Checks what has not been shown to Envoy before, in parts: a run takes files and memory by the listener.
    /// - Parameters:
    ///   - unproven: names of listeners that `former` has and that were left out of it.
    ///   - unprovenBindings: the same of bindings.
    /// - Returns: the least that Envoy refuses, with its words.
    /// - Throws: `AgentError` of kind `envoyRejected` when it refuses even a configuration without listener, cluster and secret.
    func refused(
        _ listeners: [EnvoyListener], former: EnvoyConfiguration?, unproven: Set<String>, unprovenBindings: Set<String>,
        alsoBootstrap: Bool
    ) throws(AgentError) -> EnvoyRefusals {
        var parts = ProofPart.parts(
            of: configuration, listeners, former: former, unproven: unproven, unprovenBindings: unprovenBindings,
            listenersPerPart: facts.listenersPerProof)
        if parts.isEmpty && alsoBootstrap { parts = [ProofPart()] }
        var refusals = EnvoyRefusals()
        var runs = 0
        for part in parts {
            guard let complaint = try complaint(about: part) else { continue }
            if let fault = try self.complaint(about: ProofPart()) {
                throw AgentError(
                    .envoyRejected,
                    "Envoy refuses the configuration, bindings aside, and the former one stays: \(fault); this is a fault of Tidegate"
                )
            }
            try search(part, complaint, &refusals, &runs)
        }
        return refusals
    }

    /// First the bindings' clusters and secrets, then the listeners, and of these the parts that bindings share.
    private func search(
        _ part: ProofPart, _ complaint: String, _ refusals: inout EnvoyRefusals, _ runs: inout Int
    ) throws(AgentError) {
        var part = part
        var complaint = complaint
        if let base = try self.complaint(about: ProofPart(bindings: part.bindings)) {
            let bad = try least(of: part.bindings, base, &runs) { names throws(AgentError) in
                try self.complaint(about: ProofPart(bindings: names))
            }
            for (name, refusal) in bad { refusals.bindings[name] = refusal }
            part = part.without(Set(bad.map { $0.0 }))
            guard let rest = try self.complaint(about: part) else { return }
            complaint = rest
        }
        let bad = try least(of: part.listeners, complaint, &runs) { listeners throws(AgentError) in
            try self.complaint(about: part.with(listeners))
        }
        for (listener, refusal) in bad {
            let guilty = refusal.isProven ? try shares(of: listener, refusal.message, part, &runs) : [:]
            if guilty.isEmpty { refusals.listeners[listener.name] = refusal } else { refusals.bindings.merge(guilty) { $1 } }
        }
    }

    /// The bindings whose parts make a shared listener a bad one; empty where it is bad without them.
    private func shares(
        of listener: EnvoyListener, _ complaint: String, _ part: ProofPart, _ runs: inout Int
    ) throws(AgentError) -> [String: EnvoyRefusal] {
        guard listener.bindings.count > 1 else { return [:] }
        let bad = try least(of: listener.bindings, complaint, &runs) { names throws(AgentError) in
            guard let some = listener.without(Set(listener.bindings).subtracting(names)) else { return complaint }
            return try self.complaint(about: part.with([some]))
        }
        guard let rest = listener.without(Set(bad.map { $0.0 })), try self.complaint(about: part.with([rest])) == nil else {
            return [:]
        }
        return Dictionary(bad, uniquingKeysWith: { first, _ in first })
    }

    /// Halves the list until the bad ones stand alone.
    private func least<Item>(
        of items: [Item], _ complaint: String, _ runs: inout Int, _ ask: ([Item]) throws(AgentError) -> String?
    ) throws(AgentError) -> [(Item, EnvoyRefusal)] {
        if items.count <= 1 { return items.map { ($0, EnvoyRefusal(message: complaint)) } }
        var found: [(Item, EnvoyRefusal)] = []
        let middle = items.count / 2
        for half in [Array(items[..<middle]), Array(items[middle...])] {
            guard runs < Self.patience else {
                found += half.map { ($0, .unseen) }
                continue
            }
            runs += 1
            if let complaint = try ask(half) { found += try least(of: half, complaint, &runs, ask) }
        }
        // Each half is good, and both together are not: none of them can be told from the others.
        return found.isEmpty ? items.map { ($0, EnvoyRefusal(message: complaint)) } : found
    }

    /// - Returns: Envoy's words; nil when it has nothing against it.
    private func complaint(about part: ProofPart) throws(AgentError) -> String? {
        let path = "\(folder.staging)/\(EnvoyLayout.validation)"
        try removeFile(path)
        let bootstrap = configuration.validationBootstrap(
            on: facts, listeners: part.listeners, bindings: part.bindings.compactMap(configuration.binding))
        try writeNewFile(path, Array(bootstrap.json.utf8), .secretFile)
        let result = try host.run(
            Command(
                host.paths.envoyLink + "/envoy",
                [
                    "--config-path", EnvoyLayout.validation, "--mode", "validate", "--disable-hot-restart", "--concurrency", "1",
                    "--log-level", "error",
                ],
                folder: folder.staging))
        try removeFile(path)
        return result.succeeded ? nil : Self.reason(result.errors.isEmpty ? result.output : result.errors)
    }

    /// The last part of Envoy's line, which repeats the whole configuration for some errors.
    static func reason(_ text: String) -> String {
        let line = text.split(separator: "\n").first { $0.contains("error") } ?? text[...]
        let words =
            line.split(separator: "'", maxSplits: 2).count == 3
            ? String(line.split(separator: "'", maxSplits: 2)[2]) : String(line)
        return printable(lastingWords(of: String(words.drop { $0 == ":" || $0 == " " })), limit: 400)
    }

    /// What tells whether a listener is the one that was refused before.
    static func hash(_ listener: EnvoyListener, of configuration: EnvoyConfiguration, on host: EnvoyHost) -> SHA256Digest {
        SHA256.digest(of: "\(configuration.envoy.release.version)\n\(configuration.resource(listener, on: host).json)")
    }
}

/// What one run of `envoy --mode validate` looks at.
struct ProofPart: Hashable {
    var listeners: [EnvoyListener] = []
    /// Whose clusters and secrets it looks at, by name.
    var bindings: [String] = []

    func with(_ listeners: [EnvoyListener]) -> ProofPart { ProofPart(listeners: listeners, bindings: bindings) }

    func without(_ names: Set<String>) -> ProofPart {
        ProofPart(listeners: listeners.compactMap { $0.without(names) }, bindings: bindings.filter { !names.contains($0) })
    }

    /// What of `configuration` an Envoy of its version has not seen yet, so many listeners at a time, each with its clusters and secrets.
    /// - Parameter former: what this same build showed it; nil for nothing.
    static func parts(
        of configuration: EnvoyConfiguration, _ listeners: [EnvoyListener], former: EnvoyConfiguration?, unproven: Set<String>,
        unprovenBindings: Set<String> = [], listenersPerPart: Int
    ) -> [ProofPart] {
        let former = former?.envoy.release.version == configuration.envoy.release.version ? former : nil
        // Its chains are the uplinks'.
        let isSameBridge =
            former?.envoy.bridge == configuration.envoy.bridge && former?.relay.peers == configuration.relay.peers
        let known = Set(former?.listeners ?? [])
        let changed = Set(
            configuration.envoy.bindings.lazy.filter { former?.binding($0.name) != $0 || unprovenBindings.contains($0.name) }.map(
                \.name))
        let news = listeners.filter { listener in
            !known.contains(listener) || unproven.contains(listener.name) || (listener.isBridge && !isSameBridge)
                || (listener.takesLinks && former?.link != configuration.link)
                || listener.bindings.contains(where: changed.contains)
        }
        var parts: [ProofPart] = []
        for start in stride(from: 0, to: news.count, by: listenersPerPart) {
            let some = Array(news[start..<min(start + listenersPerPart, news.count)])
            parts.append(ProofPart(listeners: some, bindings: Set(some.flatMap(\.bindings)).sorted()))
        }
        // What no listener in sight uses counts too, for Envoy reads it.
        let rest = changed.subtracting(news.flatMap(\.bindings)).sorted()
        for start in stride(from: 0, to: rest.count, by: listenersPerPart) {
            parts.append(ProofPart(bindings: Array(rest[start...].prefix(listenersPerPart))))
        }
        return parts
    }
}
