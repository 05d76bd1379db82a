import EnvoyConfig
import JSON
import NetworkTypes
import NodeDocument

/// The files of Envoy's folder, by path below it.
enum EnvoyLayout {
    static let bootstrap = EnvoyPath.bootstrap
    static let clusters = "cds.pb"
    static let listeners = "lds.pb"
    /// For the supervisor (`EnvoyLaunch`).
    static let launch = "launch.json"
    /// Where Envoys that hand over to each other meet: in the runtime folder, not in the abstract namespace that every user of the host
    /// can reach. Envoy appends `_parent_…` and `_child_…`.
    static let hotRestartPrefix = "envoy-hot"
    static let hotRestartSocket = "../" + hotRestartPrefix
    /// For `envoy --mode validate`; only ever in a staged folder.
    static let validation = "validate.json"
    static let folders = ["sds", "tls"]
}

/// The files that Envoy shall read, and the versions by which it will say that it took them.
struct EnvoyFileSet: Hashable, Sendable {
    private(set) var files: [String: [UInt8]] = [:]
    /// The paths but for bootstrap, clusters and listeners, each before what refers to it.
    private(set) var content = [EnvoyLayout.launch]
    /// Of the listeners' file; Envoy shows it once it has accepted all of it.
    private(set) var listenersVersion = ""
    private(set) var clustersVersion = ""
    /// The listeners that are in.
    private(set) var listeners: [EnvoyListener]
    /// These in the wire format.
    private var listenerMessages: [[UInt8]] = []
    private let drainSeconds: Int
    private let maxConnections: Int

    /// - Throws: `AgentError` of kind `envoyRejected` where this build renders what it cannot encode.
    init(_ configuration: EnvoyConfiguration, on host: EnvoyHost, leavingOut omitted: Set<String> = []) throws(AgentError) {
        listeners = configuration.listeners.filter { !omitted.contains($0.name) }
        drainSeconds = configuration.envoy.drainSeconds
        maxConnections = configuration.envoy.maxConnections
        for file in [configuration.bootstrapFile(on: host)] + configuration.files(on: host) {
            files[file.path] = Array(file.contents.utf8)
            if file.kind != .bootstrap { content.append(file.path) }
        }
        let clusters = try encoded(configuration.clusters(), .cluster)
        (files[EnvoyLayout.clusters], clustersVersion) = Self.file(clusters, .cluster)
        listenerMessages = try encoded(listeners.map { configuration.resource($0, on: host) }, .listener)
        writeListeners()
    }

    /// The same without these listeners: thousands of others are not encoded once more.
    func leavingOut(_ names: Set<String>) -> EnvoyFileSet {
        if names.isEmpty { return self }
        var rest = self
        let kept = zip(listeners, listenerMessages).filter { !names.contains($0.0.name) }
        rest.listeners = kept.map(\.0)
        rest.listenerMessages = kept.map(\.1)
        rest.writeListeners()
        return rest
    }

    private mutating func writeListeners() {
        (files[EnvoyLayout.listeners], listenersVersion) = Self.file(listenerMessages, .listener)
        let hasUDP = listeners.contains { $0.protocol == .udp }
        files[EnvoyLayout.launch] = Array(
            "{\"drainSeconds\":\(drainSeconds),\"hasUDP\":\(hasUDP),\"maxConnections\":\(maxConnections)}\n".utf8)
    }

    private static func file(_ messages: [[UInt8]], _ type: EnvoyMessage) -> (bytes: [UInt8], version: String) {
        ResourceSet.file(typeURL: EnvoyEncoder.typePrefix + type.name, messages)
    }

    /// The clusters' file with those clusters of `former` that are gone beside the new ones: no listener loses its cluster before it
    /// got its new one.
    /// - Returns: nil when none is gone.
    static func clustersOfBoth(
        _ former: EnvoyConfiguration?, _ configuration: EnvoyConfiguration
    ) throws(AgentError) -> (bytes: [UInt8], version: String)? {
        let gone = (former?.bindings ?? []).filter { configuration.binding($0.name) == nil }
        let lostLinks = configuration.link == nil ? former?.linkClusters ?? [] : []
        guard !gone.isEmpty || !lostLinks.isEmpty else { return nil }
        return file(try encoded(configuration.clusters(also: gone) + lostLinks, .cluster), .cluster)
    }
}

private func encoded(_ resources: [FieldValue], _ type: EnvoyMessage) throws(AgentError) -> [[UInt8]] {
    var messages: [[UInt8]] = []
    messages.reserveCapacity(resources.count)
    for resource in resources {
        do throws(MalformedMessage) {
            messages.append(try EnvoyEncoder.encode(resource, as: type))
        } catch {
            throw AgentError(.envoyRejected, "a \(type.name) cannot be told to Envoy: \(error); this is a fault of Tidegate")
        }
    }
    return messages
}

/// What has to be done to files.
struct EnvoyFileChanges: Hashable, Sendable {
    var bootstrap = false
    var clusters = false
    var listeners = false
    /// New or other content, each before what refers to it.
    var content: [String] = []
    /// No longer wanted.
    var removed: [String] = []

    init(from current: [String: [UInt8]], to wanted: EnvoyFileSet) {
        bootstrap = current[EnvoyLayout.bootstrap] != wanted.files[EnvoyLayout.bootstrap]
        clusters = current[EnvoyLayout.clusters] != wanted.files[EnvoyLayout.clusters]
        listeners = current[EnvoyLayout.listeners] != wanted.files[EnvoyLayout.listeners]
        content = wanted.content.filter { current[$0] != wanted.files[$0] }
        removed = current.keys.filter { wanted.files[$0] == nil }.sorted()
    }

    var isEmpty: Bool { !(bootstrap || clusters || listeners) && content.isEmpty && removed.isEmpty }
    /// Whether there is anything in it that `--mode validate` looks at.
    var needsProof: Bool {
        bootstrap || clusters || listeners || content.contains { $0.hasPrefix("sds/") || $0.hasPrefix("tls/") }
    }

    /// In words, for the report.
    var words: [String] {
        var words: [String] = []
        if bootstrap { words.append("Envoy's bootstrap written") }
        if content.contains(EnvoyLayout.launch) { words.append("how to start Envoy written") }
        if content.contains(UplinkProbes.fileName) { words.append("the uplinks' probes written") }
        if content.contains(EnvoyPath.limits) { words.append("Envoy's limits written") }
        let folders = [("sds/", "secrets"), ("tls/", "TLS files")]
        for (folder, name) in folders {
            let count = content.count { $0.hasPrefix(folder) }
            if count > 0 { words.append("Envoy's \(name) written: \(count)") }
        }
        if clusters { words.append("Envoy's clusters written") }
        if listeners { words.append("Envoy's listeners written") }
        if !removed.isEmpty { words.append("Envoy's files removed: \(removed.count)") }
        return words
    }
}
