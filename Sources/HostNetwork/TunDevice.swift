import Glibc

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
        guard mkdir(folder, 0o755) == 0 || errno == EEXIST else { throw .noTun(attempt: "make \(folder)", errno: errno) }
        guard mknod(path, S_IFCHR | 0o600, number) == 0 || errno == EEXIST else {
            throw .noTun(attempt: "make \(path)", errno: errno)
        }
        guard try open() else { throw .noTun(attempt: "open \(path)", errno: ENOENT) }
    }

    /// - Returns: false when it is not there.
    private static func open() throws(HostNetworkError) -> Bool {
        let descriptor = Glibc.open(path, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return false }
            throw .noTun(attempt: "open \(path)", errno: errno)
        }
        close(descriptor)
        return true
    }
}
