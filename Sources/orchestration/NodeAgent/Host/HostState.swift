import NetworkTypes
import NodeDocument
import Sodium
import WireGuardNetlink

/// What the agent must remember of a host between two runs; kept in `state.json`.
struct HostState: Hashable, Codable, Sendable {
    /// Who may change the host; nil before the first apply.
    var owner: Owner?
    /// The highest seen.
    var epoch: UInt64 = 0
    /// Whose `epoch` is; nil where the document did not tell.
    var writer: String?
    /// The last `restartEnvoy` that was done.
    var restartDone: String?
    /// Of the bootstrap and limits that the running Envoy was started with.
    var envoyStartedWith: SHA256Digest?
    /// What kernel settings held before they were changed, by name: what teardown puts back.
    var formerSettings: [String: String] = [:]
    /// The offloads that were on before they were turned off, by device.
    var formerOffloads: [String: [String]] = [:]
    /// Whether the agent made Envoy's user, so that teardown removes it.
    var madeUser = false
    /// The same of the link program's.
    var madeLinkUser = false
    /// The same of the user that links by SSH log in as.
    var madeSSHUser = false
    /// What the running link program was started with.
    var linkStartedWith: LinkStart?
    /// Listeners that the last apply left out, by name, sorted.
    var leftOut: [String] = []
    /// Listeners that `envoy --mode validate` refused, by name; not tried again until they change.
    var refusedListeners: [String: RefusedListener] = [:]
    /// The same of bindings whose cluster, secrets or part of a shared listener it refused.
    var refusedBindings: [String: RefusedListener] = [:]
    /// Bindings that the last apply left out, by name, sorted: the stored document has them, and Envoy does not.
    var leftOutBindings: [String] = []
    /// Where the uplinks were last seen: without it a relay that was started anew could not dial them, and they would find it silent first.
    var uplinks: [SeenUplink] = []
    /// What `boot` had to put back since the last apply; nil for nothing.
    var putBack: [String]?
}

extension HostState {
    /// A state that another build wrote may lack some of it.
    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        owner = try container.decodeIfPresent(Owner.self, forKey: .owner)
        epoch = try container.decodeIfPresent(UInt64.self, forKey: .epoch) ?? 0
        writer = try container.decodeIfPresent(String.self, forKey: .writer)
        restartDone = try container.decodeIfPresent(String.self, forKey: .restartDone)
        envoyStartedWith = try container.decodeIfPresent(SHA256Digest.self, forKey: .envoyStartedWith)
        formerSettings = try container.decodeIfPresent([String: String].self, forKey: .formerSettings) ?? [:]
        formerOffloads = try container.decodeIfPresent([String: [String]].self, forKey: .formerOffloads) ?? [:]
        madeUser = try container.decodeIfPresent(Bool.self, forKey: .madeUser) ?? false
        madeLinkUser = try container.decodeIfPresent(Bool.self, forKey: .madeLinkUser) ?? false
        madeSSHUser = try container.decodeIfPresent(Bool.self, forKey: .madeSSHUser) ?? false
        linkStartedWith = try container.decodeIfPresent(LinkStart.self, forKey: .linkStartedWith)
        leftOut = try container.decodeIfPresent([String].self, forKey: .leftOut) ?? []
        refusedListeners = try container.decodeIfPresent([String: RefusedListener].self, forKey: .refusedListeners) ?? [:]
        refusedBindings = try container.decodeIfPresent([String: RefusedListener].self, forKey: .refusedBindings) ?? [:]
        leftOutBindings = try container.decodeIfPresent([String].self, forKey: .leftOutBindings) ?? []
        uplinks = try container.decodeIfPresent([SeenUplink].self, forKey: .uplinks) ?? []
        putBack = try container.decodeIfPresent([String].self, forKey: .putBack)
    }
}

/// An uplink that spoke from an endpoint, which its NAT chose.
struct SeenUplink: Hashable, Codable, Sendable {
    var publicKey: WireGuardPublicKey
    var endpoint: WireGuardEndpoint
}

/// A listener or binding that Envoy found wrong.
struct RefusedListener: Hashable, Codable, Sendable {
    /// Of its texts and Envoy's version.
    var hash: SHA256Digest
    /// Envoy's words.
    var message: String
}

/// `state.json` on the disk; written when it changed.
struct StateFile {
    private let path: String
    private var written: HostState
    var value: HostState

    init(_ paths: HostPaths) throws(AgentError) {
        path = paths.state
        value = try readJSON(HostState.self, from: path) ?? HostState()
        written = value
    }

    mutating func save() throws(AgentError) {
        guard value != written else { return }
        try replaceFile(path, jsonLine(value), .secretFile)
        written = value
    }
}

/// - Returns: nil when there is no such file.
func readJSON<Value: Decodable>(_ type: Value.Type, from path: String) throws(AgentError) -> Value? {
    guard let bytes = try readFile(path) else { return nil }
    do throws(DocumentError) {
        return try DocumentJSON.decode(type, from: bytes)
    } catch {
        throw AgentError(.system, "\(path) is damaged (\(error.message)); remove it and apply again")
    }
}

/// One line of JSON, keys sorted, a newline at its end.
public func jsonLine(_ value: some Encodable) throws(AgentError) -> [UInt8] {
    do throws(DocumentError) {
        return try DocumentJSON.encode(value) + [0x0A]
    } catch {
        throw AgentError(.system, "a value \(error.message)")
    }
}
