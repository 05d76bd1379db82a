import Glibc
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
        var hash = SHA256()
        var length = 0
        do throws(SystemFailure) {
            try Descriptor.open(path, O_RDONLY).readBlocks { block in
                hash.update(block)
                length += block.count
            }
        } catch {
            if error.isMissing { return nil }
            throw InvalidValue(expected: "link program", given: path, reason: "cannot be read: \(error.reason)")
        }
        self.path = path
        self.length = length
        sha256 = hash.finish()
        build = String(sha256.description.prefix(16))
    }
}
