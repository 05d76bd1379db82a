import Glibc
import Sodium
import Syscalls

/// The length in bytes and the SHA-256 of a file that is to be pushed, which is never whole in memory.
func digestOfFile(_ path: String) throws(SystemFailure) -> (length: Int, digest: SHA256Digest) {
    var hash = SHA256()
    var length = 0
    try Descriptor.open(path, O_RDONLY).readBlocks { block in
        hash.update(block)
        length += block.count
    }
    return (length, hash.finish())
}
