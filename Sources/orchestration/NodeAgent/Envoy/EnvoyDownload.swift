import Glibc
import NetworkTypes
import NodeDocument
import Sodium
import Syscalls

/// Fetches Envoy from a URL with the host's curl or wget: a TLS library of our own would not fit into the bundle's budget.
struct EnvoyDownload {
    let host: Host

    /// 10 minutes for some 110 MB.
    private static let seconds = 600
    private static let bytesLimit = 1 << 30

    /// - Returns: false when there is no URL, so the program must be pushed.
    /// - Throws: `AgentError` of kind `envoyInstall` or `diskFull`.
    func run(_ release: EnvoyRelease) throws(AgentError) -> Bool {
        guard let url = release.url, let wanted = release.sha256 else { return false }
        try Preflight(host: host).checkSpace(in: host.paths.programs, bytes: 256 << 20)
        guard isPlainURL(url) else { throw AgentError(.envoyInstall, "\"\(printable(url))\" is no http or https URL") }
        let binary = EnvoyBinary(paths: host.paths)
        let incoming = binary.incomingPath()
        let settings = incoming + ".url"
        defer {
            unlink(incoming)
            unlink(settings)
        }
        var complaints: [String] = []
        for tool in tools(url: url, settings: settings, incoming: incoming) where access(tool.command.program, X_OK) == 0 {
            try removeFile(incoming)
            try removeFile(settings)
            try writeNewFile(settings, Array(tool.settings.utf8), .secretFile)
            let result = try host.run(tool.command)
            guard result.succeeded else {
                complaints.append("\(tool.command.program): \(result.complaint)")
                continue
            }
            let digest = try Incoming.digest(incoming)
            guard digest == wanted else {
                throw AgentError(
                    .envoyInstall,
                    "what \(printable(url)) gave has SHA-256 \(digest) and not \(wanted); correct --envoy-source or --envoy-sha256"
                )
            }
            try binary.install(incoming, version: release.version, sha256: wanted, host: host)
            return true
        }
        throw AgentError(
            .envoyInstall,
            complaints.isEmpty
                ? "the host has neither curl nor wget to download Envoy with; install one, or give --envoy-source a file to push"
                : "downloading Envoy from \(printable(url)): \(complaints.joined(separator: "; "))")
    }

    /// The URL stands in a file and not on the command line, which everyone on the host can read.
    private func tools(url: String, settings: String, incoming: String) -> [(command: Command, settings: String)] {
        let seconds = Self.seconds
        let curl = Command(
            "/usr/bin/curl",
            [
                "--disable", "--silent", "--show-error", "--fail", "--location", "--max-redirs", "5", "--proto", "=http,https",
                "--connect-timeout", "20", "--max-time", "\(seconds)", "--max-filesize", "\(Self.bytesLimit)", "--output",
                incoming, "--config",
                settings,
            ], timeoutSeconds: seconds + 10)
        let wget = Command(
            "/usr/bin/wget",
            [
                "--no-config", "--no-verbose", "--max-redirect=5", "--tries=2", "--timeout=20", "--output-document=\(incoming)",
                "--input-file=\(settings)",
            ],
            timeoutSeconds: seconds + 10)
        return [(curl, "url = \"\(url)\"\n"), (wget, url + "\n")]
    }

    private func isPlainURL(_ url: String) -> Bool {
        (url.hasPrefix("https://") || url.hasPrefix("http://")) && url.utf8.count <= 2048
            && url.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
    }
}

/// Bytes on their way to become a program.
enum Incoming {
    private static let prefix = ".incoming-"

    /// A file beside the programs that are there.
    static func path(_ paths: HostPaths) -> String { "\(paths.programs)/\(prefix)\(getpid())" }

    /// Removes what pushes that were cut off left behind.
    static func removeStale(_ paths: HostPaths) throws(AgentError) {
        for name in try namesInFolder(paths.programs) where name.hasPrefix(prefix) {
            let number = name.dropFirst(prefix.count).prefix { $0.isNumber }
            guard let pid = pid_t(number), pid != getpid(), kill(pid, 0) != 0 else { continue }
            try removeFile(paths.programs + "/" + name)
        }
    }

    static func digest(_ path: String) throws(AgentError) -> SHA256Digest {
        var hash = SHA256()
        try attempting("reading \(path)") { () throws(SystemFailure) in
            try Descriptor.open(path, O_RDONLY).readBlocks { hash.update($0) }
        }
        return hash.finish()
    }

    /// Copies exactly `length` bytes from `source` to a new file, and brings them to the disk.
    /// - Throws: `AgentError` of kind `envoyInstall` when fewer come.
    static func receive(_ source: Descriptor, to path: String, length: Int) throws(AgentError) -> SHA256Digest {
        let target = try newFile(path)
        var hash = SHA256()
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        var rest = length
        while rest > 0 {
            let count = try attempting("reading the pushed program") { () throws(SystemFailure) in
                try source.read(into: &buffer, atMost: rest)
            }
            guard count > 0 else {
                throw AgentError(
                    .envoyInstall, "the push was cut after \(length - rest) of \(length) bytes; nothing was installed")
            }
            buffer.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            try attempting("writing \(path)") { () throws(SystemFailure) in try target.writeAll(Array(buffer[..<count])) }
            rest -= count
        }
        try attempting("writing \(path) to the disk") { () throws(SystemFailure) in try target.sync() }
        return hash.finish()
    }

    static func newFile(_ path: String) throws(AgentError) -> Descriptor {
        try attempting("writing \(path)") { () throws(SystemFailure) in
            try Descriptor.open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
        }
    }
}
