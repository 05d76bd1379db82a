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
    func finish(_ outcome: inout Outcome, _ given: EnvoyDocument, _ state: inout StateFile) {
        for (name, refusal) in outcome.refusedBindings where refusal.isProven {
            state.value.refusedBindings[name] = RefusedListener(hash: given.hash(ofBinding: name), message: refusal.message)
        }
        state.value.leftOutBindings = outcome.refusedBindings.keys.filter { !outcome.keptBindings.contains($0) }.sorted()
        let left = Set(document.listeners.map(\.name))
        for listener in given.listeners where !left.contains(listener.name) {
            let refusals = listener.bindings.compactMap { outcome.refusedBindings[$0] }
            outcome.rejected[listener.name] = refusals.first { !$0.isProven } ?? refusals.first
        }
    }

    static func list(_ reasons: [String: EnvoyRefusal]) -> String {
        reasons.sorted { $0.key < $1.key }.prefix(10).map { "\($0.key): \($0.value.message)" }.joined(separator: "; ")
    }
}

extension EnvoyDocument {
    /// Without those bindings of `refused` that cannot go on; the others of them get the secrets that `former` has of them.
    /// - Parameter hopeless: those whose former secrets are no better.
    /// - Returns: `kept`: the bindings that have their former secrets.
    func leavingOut(
        _ refused: Set<String>, former: EnvoyDocument?, hopeless: Set<String>
    ) -> (document: EnvoyDocument, kept: Set<String>) {
        if refused.isEmpty { return (self, []) }
        var result = self
        let dropped = secrets.filter { refused.contains(Self.binding(ofSecret: $0.name)) }
        result.secrets.removeAll { refused.contains(Self.binding(ofSecret: $0.name)) }
        result.tlsFiles.removeAll { file in dropped.contains { $0.json.contains("/\(file.name)\"") } }
        let formerSecrets = Dictionary((former?.secrets ?? []).map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        var kept: Set<String> = []
        for (binding, own) in Dictionary(grouping: dropped, by: { Self.binding(ofSecret: $0.name) })
        where !hopeless.contains(binding) && own.allSatisfy({ formerSecrets[$0.name] != nil })
            && own.contains(where: { formerSecrets[$0.name] != $0 })
        {
            kept.insert(binding)
            result.keptSecrets = (result.keptSecrets ?? []) + own.map(\.name)
        }
        result = result.withKeptSecrets(of: former).document
        let gone = refused.subtracting(kept)
        result.clusters.removeAll { gone.contains($0.name) }
        // The prober tells Envoy of a cluster once: of one that comes back it must know as of a new one.
        for name in gone { result.probes?.tunnelPorts[name] = nil }
        result.listeners = listeners.compactMap { $0.without(gone) }
        return (result, kept)
    }

    /// What tells whether a binding is the one that was refused before: all that this document says of it.
    func hash(ofBinding name: String) -> SHA256Digest {
        var text = release.version
        for cluster in clusters where cluster.name == name { text += "\n\(cluster.json)" }
        for secret in secrets where Self.binding(ofSecret: secret.name) == name { text += "\n\(secret.name) \(secret.json)" }
        for listener in listeners where listener.bindings.contains(name) { text += "\n\(listener.json)" }
        return SHA256.digest(of: text)
    }
}

extension EnvoyListener {
    /// The listener without the parts of those bindings; nil when nothing is left of it, or nothing can be taken out.
    func without(_ gone: Set<String>) -> EnvoyListener? {
        let left = bindings.filter { !gone.contains($0) }
        if left.count == bindings.count { return self }
        guard !left.isEmpty, dualStackJSON == nil,
            case .object(var members)? = try? DocumentJSON.decode(AnyJSON.self, from: Array(json.utf8)),
            case .array(let chains)? = members["filter_chains"]
        else { return nil }
        members["filter_chains"] = .array(
            chains.filter { chain in
                guard case .object(let chain) = chain, case .string(let name)? = chain["name"] else { return true }
                return !gone.contains(name)
            })
        guard let bytes = try? DocumentJSON.encode(AnyJSON.object(members)) else { return nil }
        var result = self
        result.bindings = left
        result.json = String(decoding: bytes, as: UTF8.self)
        return result
    }
}

/// Any JSON, as far as Envoy's configuration has it.
private enum AnyJSON: Codable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([AnyJSON])
    case object([String: AnyJSON])

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let object = try? value.decode([String: AnyJSON].self) {
            self = .object(object)
        } else if let array = try? value.decode([AnyJSON].self) {
            self = .array(array)
        } else if let string = try? value.decode(String.self) {
            self = .string(string)
        } else if let bool = try? value.decode(Bool.self) {
            self = .bool(bool)
        } else if let integer = try? value.decode(Int.self) {
            self = .integer(integer)
        } else {
            self = .number(try value.decode(Double.self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var value = encoder.singleValueContainer()
        switch self {
        case .null: try value.encodeNil()
        case .bool(let bool): try value.encode(bool)
        case .integer(let integer): try value.encode(integer)
        case .number(let number): try value.encode(number)
        case .string(let string): try value.encode(string)
        case .array(let array): try value.encode(array)
        case .object(let object): try value.encode(object)
        }
    }
}
