import Glibc
import Syscalls

/// /dev/net/tun, which wireguard-go opens. A host has it; a container may use it where its runtime lets it, but finds none in
/// its /dev.
enum TunDevice {
    private static let folder = "/dev/net"
    private static let path = "/dev/net/tun"
    /// 10 is the kernel's number for miscellaneous devices, 200 is `TUN_MINOR` (linux/miscdevice.h).
    private static let number = dev_t(10 << 8 | 200)

    /// Makes it where it is missing, which takes CAP_MKNOD, and opens it once, which has the kernel load its module.
    static func ensure() throws(HostNetworkError) {
        if try open() { return }
        try unless(EEXIST, "make \(folder)") { () throws(SystemFailure) in try calling("mkdir") { mkdir(folder, 0o755) } }
        try unless(EEXIST, "make \(path)") { () throws(SystemFailure) in
            try calling("mknod") { mknod(path, S_IFCHR | 0o600, number) }
        }
        guard try open() else { throw .noTun(attempt: "open \(path)", errno: ENOENT) }
    }

    /// - Returns: false when it is not there.
    private static func open() throws(HostNetworkError) -> Bool {
        try unless(ENOENT, "open \(path)") { () throws(SystemFailure) in _ = try Descriptor.open(path, O_RDWR) }
    }

    /// - Parameter code: of the failure that is none.
    /// - Returns: whether the step went well.
    @discardableResult
    private static func unless(
        _ code: Int32, _ attempt: String, _ step: () throws(SystemFailure) -> Void
    ) throws(HostNetworkError) -> Bool {
        do throws(SystemFailure) {
            try step()
            return true
        } catch {
            if error.code == code { return false }
            throw .noTun(attempt: attempt, errno: error.code)
        }
    }
}
