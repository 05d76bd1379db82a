import NetworkTypes
import NodeDocument
import Sodium

/// The files of Envoy's folder, by path below it.
enum EnvoyLayout {
    static let bootstrap = "bootstrap.json"
    static let clusters = "cds.json"
    static let listeners = "lds.json"
    /// For the supervisor (`EnvoyLaunch`).
    static let launch = "launch.json"
    /// Where Envoys that hand over to each other meet: in the runtime folder, not in the abstract namespace that every user of the host
    /// can reach. Envoy appends `_parent_…` and `_child_…`.
    static let hotRestartPrefix = "envoy-hot"
    static let hotRestartSocket = "../" + hotRestartPrefix
    /// For `envoy --mode validate`; only ever in a staged folder.
    static let validation = "validate.json"
    static let folders = ["eds", "sds", "tls"]
}

/// The files that Envoy shall read, and the versions by which it will say that it took them.
struct EnvoyFileSet: Hashable, Sendable {
    private(set) var files: [String: [UInt8]] = [:]
    /// The paths but for bootstrap, clusters and listeners, each before what refers to it.
    private(set) var content = [EnvoyLayout.launch]
    /// The `version_info` of the listeners' file; Envoy shows it once it has accepted the file.
    private(set) var listenersVersion = ""
    private(set) var clustersVersion = ""
    /// The listeners that are in.
    let listeners: [EnvoyListener]

    init(_ document: EnvoyDocument, on host: EnvoyHost, leavingOut omitted: Set<String> = []) {
        listeners = document.listeners.filter { !omitted.contains($0.name) }
        let hasUDP = listeners.contains { $0.protocol == .udp }
        files[EnvoyLayout.launch] = Array(
            "{\"drainSeconds\":\(document.drainSeconds),\"hasUDP\":\(hasUDP),\"maxConnections\":\(document.maxConnections)}\n"
                .utf8)
        for file in [document.bootstrapFile(on: host)] + document.files(on: host, leavingOut: omitted) {
            switch file.kind {
            case .bootstrap: files[file.path] = Array(file.contents.utf8)
            case .clusters: (files[file.path], clustersVersion) = versioned(file.contents)
            case .listeners: (files[file.path], listenersVersion) = versioned(file.contents)
            case .endpoints, .secret, .certificate, .privateKey:
                files[file.path] = Array(file.contents.utf8)
                content.append(file.path)
            }
        }
    }

    /// The clusters' file with those clusters of `former` that are gone beside the new ones: no listener loses its cluster before it
    /// got its new one.
    /// - Returns: nil when none is gone.
    static func clustersOfBoth(_ former: EnvoyDocument?, _ document: EnvoyDocument, on host: EnvoyHost) -> [UInt8]? {
        let names = Set(document.clusters.map(\.name))
        let gone = (former?.clusters ?? []).filter { !names.contains($0.name) }
        guard !gone.isEmpty else { return nil }
        var both = document
        both.clusters += gone
        return both.files(on: host).first { $0.kind == .clusters }.map { versioned($0.contents).0 }
    }
}

/// A DiscoveryResponse with its `version_info`: equal content has equal versions.
private func versioned(_ response: String) -> ([UInt8], String) {
    let version = String(SHA256.digest(of: response).description.prefix(16))
    return (Array("{\"version_info\":\"\(version)\",\(response.dropFirst())".utf8), version)
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
        let folders = [("eds/", "endpoints"), ("sds/", "secrets"), ("tls/", "TLS files")]
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
