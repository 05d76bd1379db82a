import CLinuxHeaders
import Glibc
import NodeDocument
import Syscalls

/// The memory that the Envoys of one chain share (`source/server/hot_restart_impl.h` of Envoy).
struct HotRestartMemory {
    /// Envoy's name for it has ten times the base id.
    let path: String

    /// What `SharedMemory` holds in hot restart version 11: its size and version, two mutexes of 40 bytes, and flags.
    private static let size: UInt64 = 104
    private static let version: UInt64 = 11
    private static let flagsOffset = 96
    /// `SHMEM_FLAGS_INITIALIZING`.
    private static let initializing: UInt64 = 1

    /// Lets the next Envoy of this chain start though the last one died before it served: each sets a flag when it begins and takes it
    /// away when it takes over, and with the flag set every later one ends with "previous envoy process is still initializing".
    ///
    /// Only for whoever knows that none is starting.
    /// - Returns: whether the flag was set.
    /// - Throws: `AgentError` where the file cannot be opened, or is of another form than is known; then nothing was changed.
    func forgetInitialization() throws(AgentError) -> Bool {
        let memory = try attempting("open \(path)") { () throws(SystemFailure) in try Descriptor.open(path, O_RDWR | O_NOFOLLOW) }
        var words = [UInt64](repeating: 0, count: Int(Self.size) / 8)
        let count = words.withUnsafeMutableBytes { pread(memory.number, $0.baseAddress, $0.count, 0) }
        guard count == Int(Self.size), words[0] == Self.size, words[1] == Self.version else {
            throw AgentError(.system, "\(path) is not of hot restart version \(Self.version).\(Self.size)")
        }
        let flags = words[Self.flagsOffset / 8]
        guard flags & Self.initializing != 0 else { return false }
        var cleared = flags & ~Self.initializing
        try checked("write \(path)") { Int32(pwrite(memory.number, &cleared, 8, off_t(Self.flagsOffset))) }
        return true
    }
}
