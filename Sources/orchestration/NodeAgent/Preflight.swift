import Glibc
import NodeDocument

/// Whether this host can be a relay at all, before anything is touched.
struct Preflight {
    let host: Host

    /// Bytes that documents, Envoy's files and units may take twice, staged and live.
    private static let documentBytes = 16 << 20
    private static let inodes = 200

    /// - Parameter documentBytes: of the document on its way in.
    /// - Throws: `AgentError` of kind `unsupportedHost` or `diskFull`.
    func check(documentBytes: Int) throws(AgentError) {
        try checkSpace(in: host.paths.root + "/etc", bytes: Self.documentBytes + 4 * documentBytes)
    }

    /// - Throws: `AgentError` of kind `diskFull` that says how much is there and how much is wanted.
    func checkSpace(in folder: String, bytes: Int) throws(AgentError) {
        var status = statvfs()
        try checked("looking at the file system of \(folder)") { statvfs(folder, &status) }
        // Blocks of the superuser count: the agent is root.
        let free = UInt64(status.f_bfree) * UInt64(status.f_frsize)
        if free < UInt64(bytes) {
            throw AgentError(
                .diskFull,
                "the file system of \(folder) has \(free >> 20) MiB free and \(bytes >> 20) MiB are wanted: free some space")
        }
        // Some file systems (btrfs) count no inodes and say 0 of 0.
        if status.f_files > 0 && status.f_ffree < UInt64(Self.inodes) {
            throw AgentError(
                .diskFull,
                "the file system of \(folder) has \(status.f_ffree) inodes free and \(Self.inodes) are wanted; remove some files")
        }
    }
}
