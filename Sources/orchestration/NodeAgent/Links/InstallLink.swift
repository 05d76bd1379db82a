import CLinuxHeaders
import Glibc
import NetworkTypes
public import NodeDocument
import Sodium
import Syscalls

extension Agent {
    /// Takes a pushed link program: a line of JSON (`LinkInstallHeader`), then the program's bytes, gzipped or not.
    ///
    /// It counts once its length and SHA-256 match and it ran. Until then the former one stays, and is what runs until the next apply.
    public func installLink(_ input: Int32) -> AgentReport {
        var report = AgentReport(outcome: .refused, agentBuild: host.build)
        do throws(AgentError) {
            let input = Descriptor(borrowing: input)
            let header: LinkInstallHeader = try readHeader(input, of: "install-link")
            guard isSafeFileName(header.build.lowercased()), (1...Self.longestLink).contains(header.length) else {
                throw AgentError(
                    .badDocument,
                    "the header of install-link names build \"\(printable(header.build))\" and \(header.length) bytes")
            }
            try makeFolder(host.paths.programs, .publicFolder)
            try Preflight(host: host).checkSpace(in: host.paths.programs, bytes: 2 * header.length + (16 << 20))
            let incoming = Incoming.path(host.paths)
            let packed = incoming + ".gz"
            defer {
                unlink(incoming)
                unlink(packed)
            }
            try Incoming.receiveRest(input, to: packed, atMost: header.length + (1 << 20))
            let length = try Incoming.unpack(packed, to: incoming)
            let digest = try Incoming.digest(incoming)
            guard length == header.length, digest == header.sha256 else {
                throw AgentError(
                    .system,
                    "the pushed link program has \(length) bytes with SHA-256 \(digest), and not \(header.length) with "
                        + "\(header.sha256); push it again")
            }
            // The push may take minutes; the lock is for the rename alone.
            let lock = try HostLock(host.paths.lock)
            defer { withExtendedLifetime(lock) {} }
            try LinkProgram(paths: host.paths).install(incoming, build: header.build, sha256: digest, host: host)
            report.changes = ["the link program \(header.build) installed"]
            report.outcome = .applied
        } catch {
            refuse(&report, error)
        }
        return report
    }

    private static let longestLink = 256 << 20
}

extension Incoming {
    /// Copies all that comes to a new file.
    /// - Throws: `AgentError` when more than `most` bytes come.
    static func receiveRest(_ source: Descriptor, to path: String, atMost most: Int) throws(AgentError) {
        let target = try newFile(path)
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        var total = 0
        while true {
            let count = try attempting("reading the pushed program") { () throws(SystemFailure) in try source.read(into: &buffer)
            }
            if count == 0 { return }
            total += count
            if total > most {
                throw AgentError(.system, "more than \(most) bytes of a program are pushed; nothing was installed")
            }
            try attempting("writing \(path)") { () throws(SystemFailure) in try target.writeAll(Array(buffer[..<count])) }
        }
    }

    /// Unpacks a file by the host's gzip, which every host has that took the agent; one that is not packed is moved.
    /// - Returns: the length of what is at `path` then, which is on the disk.
    static func unpack(_ packed: String, to path: String) throws(AgentError) -> Int {
        if try isPacked(packed) {
            let target = try newFile(path)
            let gzip = Command(findProgram("gzip"), ["-dc", packed])
            let pid = try gzip.start { $0.output = target }
            let ending = try attempting("waiting for gzip") { () throws(SystemFailure) in try waitForEnd(of: pid) }
            guard ending.status == 0 else {
                throw AgentError(.system, "the pushed program cannot be unpacked: it was cut or altered; push it again")
            }
        } else {
            try moveFile(packed, path)
        }
        let file = try attempting("opening \(path)") { () throws(SystemFailure) in
            try Descriptor.open(path, O_RDONLY | O_NOFOLLOW)
        }
        return try attempting("writing \(path) to the disk") { () throws(SystemFailure) in
            try file.sync()
            return Int(try file.status().st_size)
        }
    }

    /// By the first bytes of gzip (RFC 1952, section 2.3.1).
    private static func isPacked(_ path: String) throws(AgentError) -> Bool {
        try attempting("reading \(path)") { () throws(SystemFailure) in
            var start: [UInt8] = [0, 0]
            return try Descriptor.open(path, O_RDONLY).read(into: &start) == 2 && start == [0x1F, 0x8B]
        }
    }
}
