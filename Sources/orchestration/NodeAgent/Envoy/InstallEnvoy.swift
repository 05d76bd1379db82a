import Glibc
import NetworkTypes
public import NodeDocument
import Syscalls

extension Agent {
    /// Takes a pushed Envoy: a line of JSON (`EnvoyInstallHeader`), then the program's bytes.
    ///
    /// It counts once its length and SHA-256 match and it ran. Until then the former one stays, and is what runs until the next apply.
    public func installEnvoy(_ input: Int32) -> AgentReport {
        var report = AgentReport(outcome: .refused, agentBuild: host.build)
        do throws(AgentError) {
            let input = Descriptor(borrowing: input)
            let header: EnvoyInstallHeader = try readHeader(input, of: "install-envoy")
            guard isSafeFileName(header.version.lowercased()), (1...(1 << 30)).contains(header.length) else {
                throw AgentError(
                    .badDocument,
                    "the header of install-envoy names version \"\(printable(header.version))\" and \(header.length) bytes")
            }
            let preflight = Preflight(host: host)
            try preflight.checkSpace(in: host.paths.programs, bytes: header.length + (16 << 20))
            let binary = EnvoyBinary(paths: host.paths)
            let incoming = binary.incomingPath()
            defer { unlink(incoming) }
            let digest = try Incoming.receive(input, to: incoming, length: header.length)
            guard digest == header.sha256 else {
                throw AgentError(.envoyInstall, "the pushed Envoy has SHA-256 \(digest) and not \(header.sha256); push it again")
            }
            // The push may take minutes; the lock is for the rename alone.
            let lock = try HostLock(host.paths.lock)
            defer { withExtendedLifetime(lock) {} }
            try binary.install(incoming, version: header.version, sha256: digest, host: host)
            report.changes = ["Envoy \(header.version) installed"]
            report.envoyVersion = header.version
            report.outcome = .applied
        } catch {
            refuse(&report, error)
        }
        return report
    }

    /// Byte by byte: what follows the newline belongs to the program.
    func readHeader<Header: Decodable>(_ input: Descriptor, of verb: String) throws(AgentError) -> Header {
        var line: [UInt8] = []
        var byte: [UInt8] = [0]
        while line.count < 4096 {
            let count = try attempting("reading the header") { () throws(SystemFailure) in try input.read(into: &byte) }
            guard count == 1 else { throw AgentError(.envoyInstall, "the push ended within the header of \(verb)") }
            if byte == [UInt8(ascii: "\n")] { break }
            line += byte
        }
        do throws(DocumentError) {
            return try DocumentJSON.decode(Header.self, from: line)
        } catch {
            throw AgentError(.badDocument, "the header of \(verb) cannot be read: \(printable(error.message))")
        }
    }
}
