public import NetworkTypes
import SSH
import Sodium
import Syscalls

/// The edge agent as it is pushed: a .tar.gz of the relocatable folder, and the build it holds.
public struct AgentBundle: Sendable {
    /// What the agent calls itself; `RelayDocument.agentBuild`.
    public let build: String
    /// 64 KiB each, the last filled up with zeros, which gzip ignores.
    let blocks: Int
    let sha256: SHA256Digest
    /// What a push sends: the file as it is then, so that its megabytes are not kept, and zeros up to a whole block. A file that
    /// was changed meanwhile does not match `sha256`, which the VPS says.
    let source: ByteSource
    /// The link program, which lies beside the bundle as `edge-link-x86_64`; nil where it does not.
    public let link: LinkProgram?

    /// The unit that the VPS reads by, so that what follows the bundle on the same input is left alone.
    static let blockSize = 65536

    /// Reads the bundle, and its build from the file beside it (`.build` in place of `.tar.gz`).
    /// - Throws: `InvalidValue` that names the file.
    public init(path: String) throws(InvalidValue) {
        let suffix = ".tar.gz"
        guard path.hasSuffix(suffix) else {
            throw InvalidValue(expected: "agent bundle", given: path, reason: "want a .tar.gz made by deploy/agent/bundle")
        }
        var bytes = try readFile(path, expected: "agent bundle")
        let buildText = try readFile(String(path.dropLast(suffix.count)) + ".build", expected: "agent build")
        build = String(decoding: buildText, as: UTF8.self).trimmingSpace
        blocks = (bytes.count + Self.blockSize - 1) / Self.blockSize
        let padding = [UInt8](repeating: 0, count: blocks * Self.blockSize - bytes.count)
        bytes += padding
        sha256 = SHA256.digest(of: bytes)
        source = .file(path: path) + .bytes(padding)
        let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        link = try LinkProgram(path: (folder.isEmpty ? "." : folder) + "/edge-link-x86_64")
    }
}

private func readFile(_ path: String, expected: String) throws(InvalidValue) -> [UInt8] {
    do throws(SystemFailure) {
        return try Descriptor.contents(of: path, limit: .max)
    } catch {
        throw InvalidValue(expected: expected, given: path, reason: "cannot be read: \(error.reason)")
    }
}

extension String {
    fileprivate var trimmingSpace: String {
        var rest = self[...]
        while rest.last?.isWhitespace == true { rest = rest.dropLast() }
        return String(rest.drop { $0.isWhitespace })
    }
}
