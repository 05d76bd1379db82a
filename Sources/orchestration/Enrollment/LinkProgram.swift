import NetworkTypes
import Sodium
import Syscalls

/// The link program as it is pushed to hosts that have links.
public struct LinkProgram: Sendable {
    /// As `RelayLink.program` names it.
    public let build: String
    let path: String
    let sha256: SHA256Digest
    /// Bytes.
    let length: Int

    /// - Returns: nil where there is no such file.
    /// - Throws: `InvalidValue` that names the file.
    init?(path: String) throws(InvalidValue) {
        do throws(SystemFailure) {
            (length, sha256) = try digestOfFile(path)
        } catch {
            if error.isMissing { return nil }
            throw InvalidValue(expected: "link program", given: path, reason: "cannot be read: \(error.reason)")
        }
        self.path = path
        build = String(sha256.description.prefix(16))
    }
}
