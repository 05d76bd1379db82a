import CLinuxHeaders
import Glibc
import NetworkTypes
import NodeDocument
import Sodium

/// The Envoy programs on the host: a folder each, and a link to the one that the next start runs.
struct EnvoyBinary {
    let paths: HostPaths

    typealias Record = ProgramRecord

    func program(_ version: String) -> String { paths.envoyFolder(version: version) + "/envoy" }
    private func record(_ version: String) -> String { paths.envoyFolder(version: version) + "/record.json" }

    /// Whether the program of that release is there, whole and unchanged.
    func has(_ release: EnvoyRelease) throws(AgentError) -> Bool {
        guard let status = try statusOf(program(release.version)), isRegularFile(status),
            let known = try readJSON(Record.self, from: record(release.version))
        else { return false }
        if let wanted = release.sha256, wanted != known.sha256 { return false }
        if known.isOf(status) { return true }
        // Touched since: only its content tells.
        guard try Incoming.digest(program(release.version)) == known.sha256 else { return false }
        try writeRecord(known.sha256, release.version)
        return true
    }

    /// A file beside the programs, for a binary on its way in.
    func incomingPath() -> String { Incoming.path(paths) }

    /// Puts a checked program that lies at `incoming` in its place, after a test run.
    /// - Throws: `AgentError` of kind `envoyInstall` when it does not run on this host or is of another version.
    func install(_ incoming: String, version: String, sha256: SHA256Digest, host: Host) throws(AgentError) {
        try checked("making \(incoming) executable") { chmod(incoming, 0o755) }
        let result: CommandResult
        do throws(AgentError) {
            result = try host.run(Command(incoming, ["--version"], timeoutSeconds: 20))
        } catch {
            throw AgentError(
                .envoyInstall, "Envoy \(version) does not start on this host (\(error.message)); it needs glibc 2.31 or newer")
        }
        guard result.succeeded else {
            throw AgentError(
                .envoyInstall, "Envoy \(version) does not run on this host: \(result.complaint); it needs glibc 2.31 or newer")
        }
        guard result.output.contains("/\(version)/") else {
            throw AgentError(
                .envoyInstall,
                "the program is not Envoy \(version) but says: \(printable(result.output, limit: 200)); correct the version or the source"
            )
        }
        try makeFolder(paths.envoyFolder(version: version), .publicFolder)
        try removeFile(record(version))
        try moveFile(incoming, program(version))
        try syncFolder(of: program(version))
        try writeRecord(sha256, version)
    }

    private func writeRecord(_ sha256: SHA256Digest, _ version: String) throws(AgentError) {
        guard let status = try statusOf(program(version)) else { return }
        let value = Record(sha256: sha256, status)
        try replaceFile(record(version), try jsonLine(value), .publicFile)
    }

    /// - Returns: whether the next start runs another program than before.
    func choose(_ version: String) throws(AgentError) -> Bool {
        // Envoy's own user may have told it: no path must lead elsewhere.
        guard isSafeFileName(version.lowercased()) else {
            throw AgentError(.system, "\"\(printable(version, limit: 40))\" is no version of Envoy")
        }
        return try ensureLink(paths.envoyLink, to: "envoy-" + version)
    }

    /// The version that the link names; nil when there is none.
    func chosen() -> String? {
        linkTarget(paths.envoyLink).flatMap { $0.hasPrefix("envoy-") ? String($0.dropFirst("envoy-".count)) : nil }
    }

    /// The version that a process runs; nil when it is none of ours.
    func running(_ pid: Int32) -> String? {
        guard pid > 0, let target = linkTarget("/proc/\(pid)/exe") else { return nil }
        let folder = target.split(separator: "/").dropLast().last ?? ""
        return folder.hasPrefix("envoy-") ? String(folder.dropFirst("envoy-".count)) : nil
    }

    /// Removes every program but those of `versions`.
    /// - Returns: the versions removed.
    func removeOthers(than versions: Set<String>) throws(AgentError) -> [String] {
        var removed: [String] = []
        for name in try namesInFolder(paths.programs) where name.hasPrefix("envoy-") {
            let version = String(name.dropFirst("envoy-".count))
            guard !versions.contains(version) else { continue }
            try removeTree(paths.programs + "/" + name)
            removed.append(version)
        }
        return removed
    }
}

/// What was found when a program was put on the host; it tells later that nobody changed it, without reading 100 MB again.
struct ProgramRecord: Hashable, Codable {
    var sha256: SHA256Digest
    var size: Int
    /// Nanoseconds since 1970.
    var modified: Int
    /// Nil where its place names it.
    var build: String?

    init(sha256: SHA256Digest, _ status: stat, build: String? = nil) {
        self.sha256 = sha256
        self.build = build
        size = Int(status.st_size)
        modified = Self.modified(status)
    }

    func isOf(_ status: stat) -> Bool { size == Int(status.st_size) && modified == Self.modified(status) }

    private static func modified(_ status: stat) -> Int { status.st_mtim.tv_sec * 1_000_000_000 + status.st_mtim.tv_nsec }
}
