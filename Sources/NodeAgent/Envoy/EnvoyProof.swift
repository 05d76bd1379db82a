import NetworkTypes
import NodeDocument
import Sodium

/// Shows Envoy a configuration before it runs with it (`envoy --mode validate`).
struct EnvoyProof {
    let host: Host
    let folder: EnvoyFolder
    let document: EnvoyDocument
    let facts: EnvoyHost

    /// Runs of Envoy that the search for bad listeners may take, some 70 ms each; listeners not yet cleared by then count as bad.
    private static let patience = 60

    /// Checks the staged configuration.
    /// - Returns: the listeners that Envoy refuses, and its words.
    /// - Throws: `AgentError` of kind `envoyRejected` when it refuses even an empty list of listeners.
    func refused(_ listeners: [EnvoyListener]) throws(AgentError) -> [String: String] {
        guard let complaint = try complaint(about: listeners) else { return [:] }
        if let base = try self.complaint(about: []) {
            throw AgentError(
                .envoyRejected,
                "Envoy refuses the configuration, listeners aside, and the former one stays: \(base); this is a fault of Tidegate"
            )
        }
        var refused: [String: String] = [:]
        var runs = 0
        try search(listeners, complaint, &refused, &runs)
        return refused
    }

    /// Halves the list until the bad ones stand alone.
    private func search(
        _ listeners: [EnvoyListener], _ complaint: String, _ refused: inout [String: String], _ runs: inout Int
    ) throws(AgentError) {
        if listeners.count <= 1 || runs >= Self.patience {
            for listener in listeners { refused[listener.name] = complaint }
            return
        }
        let middle = listeners.count / 2
        for half in [Array(listeners[..<middle]), Array(listeners[middle...])] {
            runs += 1
            if let complaint = try self.complaint(about: half) { try search(half, complaint, &refused, &runs) }
        }
    }

    /// - Returns: Envoy's words; nil when it has nothing against them.
    private func complaint(about listeners: [EnvoyListener]) throws(AgentError) -> String? {
        let path = "\(folder.staging)/\(EnvoyLayout.validation)"
        try removeFile(path)
        let text = document.validationBootstrap(on: facts, listeners: listeners, secrets: document.secrets)
        try writeNewFile(path, Array(text.utf8), .secretFile)
        let result = try host.run(
            Command(
                host.paths.envoyLink + "/envoy",
                ["--config-path", EnvoyLayout.validation, "--mode", "validate", "--disable-hot-restart", "--log-level", "error"],
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
        return printable(String(words.drop { $0 == ":" || $0 == " " }), limit: 400)
    }

    /// What tells whether a listener is the one that was refused before.
    static func hash(_ listener: EnvoyListener, version: String) -> SHA256Digest {
        SHA256.digest(of: "\(version)\n\(listener.address?.description ?? "")\n\(listener.json)\n\(listener.dualStackJSON ?? "")")
    }
}
