import NetworkTypes
import NodeDocument

/// What the supervisor of Envoy says of itself, in `/run/tidegate/envoy.json`. Envoy's own user may write that file: what stands in it is
/// shown, and decides nothing but how long to wait, and whom the prober, which is that user too, tells of clusters and listeners.
struct EnvoyRun: Hashable, Codable, Sendable {
    struct Outcome: Hashable, Codable, Sendable {
        enum Kind: String, Hashable, Codable, Sendable {
            /// The new Envoy took the listening sockets over.
            case hot
            /// The former one was ended first.
            case plain
            /// There is no new one; what served before serves on, if it can.
            case failed
        }
        var kind: Kind
        /// For people: what took over, why it was plain, or why there is no new one.
        var message: String
    }

    struct Process: Hashable, Codable, Sendable {
        var pid: Int32
        var epoch: Int
        var version: String
        /// `starting`, `serving` or `draining`.
        var phase: String
    }

    /// The process that wrote this.
    var supervisor: Int32
    /// How many restarts that were asked for are done or failed.
    var restarts: Int
    /// Of the last of them; nil before the first.
    var outcome: Outcome?
    /// Oldest first.
    var processes: [Process]

    /// The one that takes new connections; nil while there is none.
    var serving: Process? { processes.last { $0.phase == "serving" } }
    /// Whether one is not live yet.
    var isStarting: Bool { processes.contains { $0.phase == "starting" } }

    /// Whether another has taken over from that process, or is about to.
    func isReplaced(_ pid: Int32) -> Bool {
        guard let process = processes.first(where: { $0.pid == pid }) else { return false }
        return process.phase == "draining" || (process.phase == "serving" && isStarting)
    }

    /// - Returns: nil when there is no such file, or none that can be read: then nothing of ours supervises Envoy.
    static func read(_ paths: HostPaths) -> EnvoyRun? { read(paths.envoyRun) }

    static func read(_ path: String) -> EnvoyRun? {
        guard let bytes = try? readFile(path, limit: JSONBounds.ofEnvoysUser.bytes) else { return nil }
        return try? DocumentJSON.decode(EnvoyRun.self, from: bytes, within: .ofEnvoysUser)
    }
}

/// What the supervisor must know to start an Envoy, in `launch.json` beside the bootstrap.
struct EnvoyLaunch: Hashable, Codable, Sendable {
    /// Seconds that connections of a replaced Envoy, or of a listener that is gone, may live.
    var drainSeconds: Int
    /// Whether any listener is UDP.
    var hasUDP: Bool
    /// Connections that Envoy may have; decides how many files it may open where there is no systemd.
    var maxConnections: Int
}

/// An Envoy as its binary describes it.
struct EnvoyProgram: Hashable, Codable, Sendable {
    /// Such as `1.40.0`.
    var version: String
    /// What `--hot-restart-version` prints; only equal ones can hand over to each other.
    var hotRestartVersion: String

    /// Since 1.40 the former Envoy hands datagrams of new sessions to the new one while it drains (envoyproxy/envoy#46502). Before that
    /// its UDP ports are silent until it has gone (envoyproxy/envoy#34732; seen with 1.39.3).
    var handsOverUDP: Bool {
        let parts = version.split(separator: ".").compactMap { Int($0) }
        return parts.count == 3 && (parts[0], parts[1]) >= (1, 40)
    }

    /// Why `next` cannot take over from this one while it serves; nil when it can.
    func obstacle(to next: EnvoyProgram, hasUDP: Bool) -> String? {
        if hotRestartVersion != next.hotRestartVersion {
            return "Envoy \(version) cannot hand over to \(next.version) "
                + "(hot restart versions \(hotRestartVersion) and \(next.hotRestartVersion))"
        }
        if hasUDP && !handsOverUDP {
            return
                "Envoy \(version) cannot hand UDP ports over, and they would be silent until it has drained (1.40 and newer can)"
        }
        return nil
    }

    /// Reads `envoy --version`: the program's path, `version:`, and five parts between slashes, of which the second is the version; and
    /// `envoy --hot-restart-version`: a line of two numbers, among what Envoy may say of the host (of its cgroup, say).
    /// - Returns: nil when it says something else.
    static func parse(versionText: String, hotRestartText: String) -> EnvoyProgram? {
        let words = versionText.split { $0.isWhitespace }
        guard let last = words.last else { return nil }
        let parts = last.split(separator: "/")
        let hot = hotRestartText.split(whereSeparator: \.isNewline).filter { line in
            let numbers = line.split(separator: ".", omittingEmptySubsequences: false)
            return numbers.count == 2 && numbers.allSatisfy { UInt32($0) != nil }
        }
        guard parts.count == 5, hot.count == 1 else { return nil }
        return EnvoyProgram(
            version: printable(String(parts[1]), limit: 40), hotRestartVersion: printable(String(hot[0]), limit: 40))
    }
}
