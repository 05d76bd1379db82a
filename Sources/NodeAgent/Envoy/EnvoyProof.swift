import NetworkTypes
import NodeDocument
import Sodium

/// Shows Envoy a configuration before it runs with it (`envoy --mode validate`).
struct EnvoyProof {
    let host: Host
    let folder: EnvoyFolder
    let document: EnvoyDocument
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
        _ listeners: [EnvoyListener], former: EnvoyDocument?, unproven: Set<String>, unprovenBindings: Set<String>,
        alsoBootstrap: Bool
    ) throws(AgentError) -> EnvoyRefusals {
        var parts = ProofPart.parts(
            of: document, listeners, former: former, unproven: unproven, unprovenBindings: unprovenBindings,
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
        if let base = try self.complaint(about: part.resources(of: Set(part.bindings))) {
            let bad = try least(of: part.bindings, base, &runs) { names throws(AgentError) in
                try self.complaint(about: part.resources(of: Set(names)))
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
        let text = document.validationBootstrap(
            on: facts, listeners: part.listeners, clusters: part.clusters, secrets: part.secrets)
        try writeNewFile(path, Array(text.utf8), .secretFile)
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
    static func hash(_ listener: EnvoyListener, version: String) -> SHA256Digest {
        SHA256.digest(of: "\(version)\n\(listener.address?.description ?? "")\n\(listener.json)\n\(listener.dualStackJSON ?? "")")
    }
}

/// What one run of `envoy --mode validate` looks at.
struct ProofPart: Hashable {
    var listeners: [EnvoyListener] = []
    var clusters: [EnvoyResource] = []
    var secrets: [EnvoyResource] = []

    /// Whose clusters and secrets these are, sorted.
    var bindings: [String] {
        Set(clusters.map(\.name)).union(secrets.map { EnvoyDocument.binding(ofSecret: $0.name) }).sorted()
    }

    /// Those clusters and secrets, and no listener.
    func resources(of names: Set<String>) -> ProofPart {
        ProofPart(
            clusters: clusters.filter { names.contains($0.name) },
            secrets: secrets.filter { names.contains(EnvoyDocument.binding(ofSecret: $0.name)) })
    }

    func with(_ listeners: [EnvoyListener]) -> ProofPart {
        var part = self
        part.listeners = listeners
        return part
    }

    func without(_ names: Set<String>) -> ProofPart {
        resources(of: Set(bindings).subtracting(names)).with(listeners.compactMap { $0.without(names) })
    }

    /// What of `document` an Envoy of its version has not seen yet, so many listeners at a time, each with its clusters and secrets.
    static func parts(
        of document: EnvoyDocument, _ listeners: [EnvoyListener], former: EnvoyDocument?, unproven: Set<String>,
        unprovenBindings: Set<String> = [], listenersPerPart: Int
    ) -> [ProofPart] {
        let former = former?.release.version == document.release.version ? former : nil
        let formerListeners = byName(former?.listeners ?? [], \.name)
        let formerClusters = byName(former?.clusters ?? [], \.name)
        let formerSecrets = byName(former?.secrets ?? [], \.name)
        let formerFiles = Set((former?.tlsFiles ?? []).map(\.name))
        // A file is named after its content.
        let newFiles = document.tlsFiles.map(\.name).filter { !formerFiles.contains($0) }
        let newClusters = document.clusters.filter { formerClusters[$0.name] != $0 || unprovenBindings.contains($0.name) }
        let newSecrets = document.secrets.filter { secret in
            formerSecrets[secret.name] != secret || unprovenBindings.contains(EnvoyDocument.binding(ofSecret: secret.name))
                || newFiles.contains { secret.json.contains("/\($0)\"") }
        }
        let changed = Set(newClusters.map(\.name)).union(newSecrets.map { EnvoyDocument.binding(ofSecret: $0.name) })
        let news = listeners.filter { listener in
            formerListeners[listener.name] != listener || unproven.contains(listener.name)
                || listener.bindings.contains(where: changed.contains)
        }
        var parts: [ProofPart] = []
        let clusters = byName(document.clusters, \.name)
        var secretsOf: [String: [EnvoyResource]] = [:]
        for secret in document.secrets { secretsOf[EnvoyDocument.binding(ofSecret: secret.name), default: []].append(secret) }
        for start in stride(from: 0, to: news.count, by: listenersPerPart) {
            let some = Array(news[start..<min(start + listenersPerPart, news.count)])
            let names = Set(some.flatMap(\.bindings)).sorted()
            parts.append(
                ProofPart(
                    listeners: some, clusters: names.compactMap { clusters[$0] }, secrets: names.flatMap { secretsOf[$0] ?? [] }))
        }
        // What no listener in sight uses counts too, for Envoy reads it.
        let used = Set(news.flatMap(\.bindings))
        let restClusters = newClusters.filter { !used.contains($0.name) }
        let restSecrets = newSecrets.filter { !used.contains(EnvoyDocument.binding(ofSecret: $0.name)) }
        for start in stride(from: 0, to: max(restClusters.count, restSecrets.count), by: listenersPerPart) {
            parts.append(
                ProofPart(
                    clusters: Array(restClusters.dropFirst(start).prefix(listenersPerPart)),
                    secrets: Array(restSecrets.dropFirst(start).prefix(listenersPerPart))))
        }
        return parts
    }

    private static func byName<Value>(_ values: [Value], _ name: (Value) -> String) -> [String: Value] {
        Dictionary(values.map { (name($0), $0) }, uniquingKeysWith: { first, _ in first })
    }
}
