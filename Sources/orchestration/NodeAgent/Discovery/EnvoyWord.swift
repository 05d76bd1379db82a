import Glibc
import NodeDocument

/// What the Envoys of this host said of their clusters and listeners, in `/run/tidegate/envoy-word.json`: the prober, which they answered,
/// writes it. Envoy's own user may write that file, as it may give any answer on Envoy's admin interface.
///
/// That interface walks over all its figures for each question: with 5,000 bindings it takes 0.07 s over the versions, 0.17 s over the
/// clusters that warm up and 0.6 s over all of them, of the thread that has the change to do.
struct EnvoyWord: Hashable, Codable, Sendable {
    struct Answer: Hashable, Codable, Sendable {
        /// Of the set that it is about (`ResourceSet.version`).
        var version: String
        /// In Envoy's words; nil when it took the whole set.
        var refusal: String?
    }

    struct Entry: Hashable, Codable, Sendable {
        var pid: Int32
        /// Nil before it answered.
        var clusters: Answer?
        var listeners: Answer?
        /// Whether it has the endpoints of all its clusters.
        var isWarm: Bool
    }

    var envoys: [Entry]

    /// - Returns: what the Envoy that serves said; nil when that is not known, and it is to be asked itself.
    static func ofServing(_ paths: HostPaths) -> Entry? {
        guard let pid = EnvoyRun.read(paths)?.serving?.pid,
            let bytes = try? readFile(paths.envoyWord, limit: JSONBounds.ofEnvoysUser.bytes)
        else {
            return nil
        }
        return (try? DocumentJSON.decode(EnvoyWord.self, from: bytes, within: .ofEnvoysUser))?.envoys.first { $0.pid == pid }
    }

    init(envoys: [Entry]) { self.envoys = envoys }

    init(_ peers: [EnvoyPeer], _ sets: [String: ResourceSet]) {
        envoys = Set(peers.map(\.pid)).sorted().map { pid in
            var entry = Entry(pid: pid, clusters: nil, listeners: nil, isWarm: false)
            let own = peers.filter { $0.pid == pid }
            for case .resources(let stream) in own.map(\.role) {
                let answer = stream.answer.map { Answer(version: $0.version, refusal: $0.refusal) }
                if stream.typeURL == ResourceSet.clusterType { entry.clusters = answer } else { entry.listeners = answer }
            }
            let clusters = sets[ResourceSet.clusterType]
            for case .endpoints(let stream) in own.map(\.role) where entry.clusters?.version == clusters?.version {
                entry.isWarm = stream.hasToldAll(of: (clusters?.resources ?? []).lazy.map(\.name))
            }
            return entry
        }
    }
}
