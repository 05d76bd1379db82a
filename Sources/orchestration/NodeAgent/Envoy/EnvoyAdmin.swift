import NetworkTypes
import NodeDocument

/// What Envoy says of itself on its admin socket.
struct EnvoyStats: Hashable, Sendable {
    /// Whether it serves; not yet while it waits for its first clusters.
    var isLive = false
    /// Of the last listeners' file it accepted; nil before the first.
    var listenersVersion: String?
    var clustersVersion: String?
    var listenersRejected = 0
    var clustersRejected = 0
    var activeListeners = 0
    var warmingClusters = 0

    /// Picks exactly the figures above, URL-encoded. One question: Envoy takes 0.15 s over each at 1,000 bindings.
    static let path =
        "/stats?filter=%5E(server.state%7Clistener_manager.(lds.(update_rejected%7Cversion_text)%7Ctotal_listeners_active)"
        + "%7Ccluster_manager.(cds.(update_rejected%7Cversion_text)%7Cwarming_clusters))%24"

    /// 7 ms at 1,000 bindings.
    static let versionsPath = "/stats?type=TextReadouts&filter=version_text"
    /// 40 ms at 1,000 bindings.
    static let warmingPath = "/stats?type=Gauges&filter=warming_clusters"

    /// Reads `/stats` in its text form: `name: value`, texts in quotes.
    init(_ text: String) {
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let value = parts[1].drop { $0 == " " }
            let number = Int(value) ?? 0
            let quoted = value.count >= 2 ? String(value.dropFirst().dropLast()) : ""
            switch parts[0] {
            case "server.state": isLive = value == "0"
            case "listener_manager.lds.version_text": listenersVersion = quoted.isEmpty ? nil : quoted
            case "cluster_manager.cds.version_text": clustersVersion = quoted.isEmpty ? nil : quoted
            case "listener_manager.lds.update_rejected": listenersRejected = number
            case "cluster_manager.cds.update_rejected": clustersRejected = number
            case "listener_manager.total_listeners_active": activeListeners = number
            case "cluster_manager.warming_clusters": warmingClusters = number
            default: break
            }
        }
    }
}

/// `/config_dump?resource=dynamic_listeners`, or `…=dynamic_active_clusters`: only whether, and why, Envoy refused one.
struct EnvoyDump: Decodable {
    struct Entry: Decodable {
        struct Failure: Decodable {
            var details: String?
        }
        var name: String?
        var failure: Failure?

        // Envoy's names.
        enum CodingKeys: String, CodingKey {
            case name
            case failure = "error_state"
        }
    }
    var configs: [Entry]?

    /// The refusals by name.
    var refusals: [String: String] {
        var refusals: [String: String] = [:]
        for entry in configs ?? [] {
            if let name = entry.name, let failure = entry.failure {
                refusals[name] = printable(lastingWords(of: failure.details ?? "refused without a reason"), limit: 600)
            }
        }
        return refusals
    }
}

/// Envoy's admin interface, over its socket.
struct EnvoyAdmin: Sendable {
    let get: @Sendable (_ path: String, _ limit: Int) throws(AgentError) -> HTTPReply

    init(get: @escaping @Sendable (String, Int) throws(AgentError) -> HTTPReply) { self.get = get }

    init(socket: String) {
        get = { path, limit throws(AgentError) in
            guard let result = fetch(path, from: [.unixSocket(socket)], milliseconds: 2000, limit: limit).first else {
                throw AgentError(.envoyNotRunning, "Envoy's admin socket \(socket) was not asked")
            }
            return try result.get()
        }
    }

    /// - Throws: `AgentError` when Envoy does not answer.
    func stats() throws(AgentError) -> EnvoyStats {
        let reply = try get(EnvoyStats.path, 64 << 20)
        guard reply.status == 200 else { throw AgentError(.envoyNotRunning, "Envoy's admin answers \(reply.status) to /stats") }
        return EnvoyStats(reply.text)
    }

    /// The versions alone, and no other figure: a hundredth of the work of `stats()`, which grows with the bindings.
    func versions() throws(AgentError) -> EnvoyStats {
        let reply = try get(EnvoyStats.versionsPath, 1 << 20)
        guard reply.status == 200 else { throw AgentError(.envoyNotRunning, "Envoy's admin answers \(reply.status) to /stats") }
        return EnvoyStats(reply.text)
    }

    /// The clusters that no uplink has answered for yet.
    func warmingClusters() throws(AgentError) -> Int {
        let reply = try get(EnvoyStats.warmingPath, 1 << 20)
        guard reply.status == 200 else { throw AgentError(.envoyNotRunning, "Envoy's admin answers \(reply.status) to /stats") }
        return EnvoyStats(reply.text).warmingClusters
    }

    /// 20,000 listeners with some 200 values each; a listener's text may be a certificate's chain.
    private static let dump = JSONBounds(bytes: 256 << 20, values: 4_000_000, textBytes: 4 << 20, depth: 64)

    /// The listeners that Envoy refused, and why.
    func refusedListeners() throws(AgentError) -> [String: String] {
        let reply = try get("/config_dump?resource=dynamic_listeners", Self.dump.bytes)
        // Without a single listener Envoy answers 404 or an empty object.
        guard reply.status == 200 else { return [:] }
        do throws(DocumentError) {
            return try DocumentJSON.decode(EnvoyDump.self, from: reply.body, within: Self.dump).refusals
        } catch {
            throw AgentError(.envoyRejected, "Envoy's answer to /config_dump \(error.message)")
        }
    }
}
