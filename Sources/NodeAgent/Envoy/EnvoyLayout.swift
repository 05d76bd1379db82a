import NetworkTypes
import NodeDocument

/// The files of Envoy's folder, by path below it.
enum EnvoyLayout {
    static let bootstrap = "bootstrap.json"
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
    /// What cannot be told to Envoy, and why, by name: this build does not know of some field of it. Such a listener is left out.
    private(set) var unknownListeners: [String: String] = [:]
    private(set) var unknownClusters: [String: String] = [:]

    init(_ document: EnvoyDocument, on host: EnvoyHost, leavingOut omitted: Set<String> = []) {
        listeners = document.listeners.filter { !omitted.contains($0.name) }
        drainSeconds = document.drainSeconds
        maxConnections = document.maxConnections
        for file in [document.bootstrapFile(on: host)] + document.files(on: host) {
            files[file.path] = Array(file.contents.utf8)
            if file.kind != .bootstrap { content.append(file.path) }
        }
        let clusters: [[UInt8]]
        (clusters, unknownClusters) = Self.encoded(document.cappedClusters, .cluster)
        (files[EnvoyLayout.clusters], clustersVersion) = Self.file(clusters, .cluster)
        (listenerMessages, unknownListeners) = Self.encoded(document.listeners(on: host, leavingOut: omitted), .listener)
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

    private static func encoded(
        _ resources: [EnvoyResource], _ type: EnvoyMessage
    ) -> (messages: [[UInt8]], unknown: [String: String]) {
        var messages: [[UInt8]] = []
        messages.reserveCapacity(resources.count)
        var unknown: [String: String] = [:]
        for resource in resources {
            do throws(MalformedMessage) {
                messages.append(try EnvoyEncoder.encode(resource.json, as: type))
            } catch {
                unknown[resource.name] = printable(error.reason, limit: 400)
            }
        }
        return (messages, unknown)
    }

    /// The clusters' file with those clusters of `former` that are gone beside the new ones: no listener loses its cluster before it
    /// got its new one.
    /// - Returns: nil when none is gone.
    static func clustersOfBoth(
        _ former: EnvoyDocument?, _ document: EnvoyDocument, on host: EnvoyHost
    ) -> (bytes: [UInt8], version: String)? {
        let names = Set(document.clusters.map(\.name))
        let gone = (former?.clusters ?? []).filter { !names.contains($0.name) }
        guard !gone.isEmpty else { return nil }
        var both = document
        both.clusters += gone
        return file(encoded(both.cappedClusters, .cluster).messages, .cluster)
    }
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
        if content.contains(EnvoyDocument.limitsFile) { words.append("Envoy's limits written") }
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
