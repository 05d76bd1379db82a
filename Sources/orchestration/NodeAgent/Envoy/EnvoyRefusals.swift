import EnvoyConfig
import JSON
import NodeDocument
import Sodium

/// What Envoy has against one thing.
struct EnvoyRefusal: Hashable, Sendable {
    /// Envoy's words.
    var message: String
    /// False where Envoy was not asked about it alone, for lack of time: it is left out now, and asked about at the next apply.
    var isProven = true

    static let unseen = EnvoyRefusal(
        message: "Envoy refuses others that came with it, and there was no time to show this one alone; the next look does",
        isProven: false)
}

/// What Envoy refuses of a configuration; it takes all the rest.
struct EnvoyRefusals: Sendable {
    /// By listener, as a whole.
    var listeners: [String: EnvoyRefusal] = [:]
    /// By binding: its cluster, its secrets, or its part of a listener that others share.
    var bindings: [String: EnvoyRefusal] = [:]

    var isEmpty: Bool { listeners.isEmpty && bindings.isEmpty }
}

extension EnvoyRollout {
    /// Remembers which bindings were refused, and counts those listeners as rejected that have no other.
    func finish(_ outcome: inout Outcome, _ given: EnvoyConfiguration, _ state: inout StateFile) {
        for (name, refusal) in outcome.refusedBindings where refusal.isProven {
            state.value.refusedBindings[name] = RefusedListener(hash: given.hash(ofBinding: name), message: refusal.message)
        }
        state.value.leftOutBindings = outcome.refusedBindings.keys.filter { !outcome.keptBindings.contains($0) }.sorted()
        let left = Set(configuration.listeners.map(\.name))
        for listener in given.listeners where !left.contains(listener.name) {
            let refusals = listener.bindings.compactMap { outcome.refusedBindings[$0] }
            outcome.rejected[listener.name] = refusals.first { !$0.isProven } ?? refusals.first
        }
    }

    static func list(_ reasons: [String: EnvoyRefusal]) -> String {
        reasons.sorted { $0.key < $1.key }.prefix(10).map { "\($0.key): \($0.value.message)" }.joined(separator: "; ")
    }
}

extension RelayEnvoy {
    /// Without those bindings of `refused` that cannot go on; the others of them get the certificate and key that `former` has of them.
    /// - Parameter hopeless: those whose former certificates are no better.
    /// - Returns: `kept`: the bindings that have their former certificates.
    func leavingOut(
        _ refused: Set<String>, former: RelayEnvoy?, hopeless: Set<String>
    ) -> (envoy: RelayEnvoy, kept: Set<String>) {
        if refused.isEmpty { return (self, []) }
        var past: [String: TLSMaterial] = [:]
        for binding in former?.bindings ?? [] where refused.contains(binding.name) { past[binding.name] = binding.tls?.material }
        var rest = self
        var kept: Set<String> = []
        rest.bindings = bindings.compactMap { binding in
            guard refused.contains(binding.name) else { return binding }
            guard !hopeless.contains(binding.name), let material = past[binding.name]?.fitted(to: binding.tls?.mode),
                material != binding.tls?.material
            else { return nil }
            kept.insert(binding.name)
            var binding = binding
            binding.tls?.material = material
            return binding
        }
        return (rest, kept)
    }
}

extension EnvoyConfiguration {
    /// What tells whether a binding is the one that was refused before: all that is told to Envoy of it.
    func hash(ofBinding name: String) -> SHA256Digest {
        var text = envoy.release.version
        if let binding = binding(name) {
            text += "\n\(cluster(binding, isCapped: false).json)"
            for secret in secrets(binding) { text += "\n\(secret.name) \(secret.resource.json)" }
        }
        for listener in listeners where listener.bindings.contains(name) { text += "\n\(resource(listener, on: nil).json)" }
        return SHA256.digest(of: text)
    }
}
