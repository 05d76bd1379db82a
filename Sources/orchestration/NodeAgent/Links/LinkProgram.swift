import CLinuxHeaders
import Glibc
import NetworkTypes
import NodeDocument
import Sodium
import Syscalls

/// The link program on the host: one file, and what is known of it.
struct LinkProgram {
    let paths: HostPaths

    /// The build of the program that is there, whole and unchanged; nil for none.
    func installed() throws(AgentError) -> String? {
        guard let status = try statusOf(paths.linkProgram), isRegularFile(status),
            // One that cannot be read is as good as none: the program is pushed again.
            let known = (try? readJSON(ProgramRecord.self, from: paths.linkRecord)) ?? nil
        else { return nil }
        if known.isOf(status) { return known.build }
        // Touched since: only its content tells.
        guard try Incoming.digest(paths.linkProgram) == known.sha256 else { return nil }
        try record(known.sha256, known.build)
        return known.build
    }

    /// Puts a checked program that lies at `incoming` in its place, after a test run. What runs goes on until it is restarted.
    /// - Throws: `AgentError` of kind `system` when it does not run on this host.
    func install(_ incoming: String, build: String, sha256: SHA256Digest, host: Host) throws(AgentError) {
        try checked("making \(incoming) executable") { chmod(incoming, 0o755) }
        let result = try host.run(Command(incoming, ["version"], timeoutSeconds: 20))
        guard result.succeeded, result.output.hasPrefix("edge-link") else {
            throw AgentError(
                .system,
                "the link program \(printable(build)) does not run on this host: \(printable(result.complaint, limit: 400))")
        }
        try removeFile(paths.linkRecord)
        try moveFile(incoming, paths.linkProgram)
        try syncFolder(of: paths.linkProgram)
        try record(sha256, build)
    }

    /// - Returns: whether there was one.
    func remove() throws(AgentError) -> Bool {
        let hadRecord = try removeFile(paths.linkRecord)
        return try removeFile(paths.linkProgram) || hadRecord
    }

    private func record(_ sha256: SHA256Digest, _ build: String?) throws(AgentError) {
        guard let status = try statusOf(paths.linkProgram) else { return }
        try replaceFile(paths.linkRecord, try jsonLine(ProgramRecord(sha256: sha256, status, build: build)), .publicFile)
    }
}

/// What a link program was started with: another unit wants a start of the unit, another build or key a new program beside the old one.
struct LinkStart: Hashable, Codable, Sendable {
    var build: String
    /// Of the unit's text.
    var unit: SHA256Digest
    /// Of the key.
    var pin: SHA256Digest?
}
