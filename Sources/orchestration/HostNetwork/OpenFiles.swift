import CLinuxHeaders
import Glibc

/// The limit of files that this process, and each of its children, may have open (getrlimit(2), RLIMIT_NOFILE).
public enum OpenFiles {
    /// Takes the soft limit to the hard one. Whoever starts this process chose the hard one; the soft one is for select(2) alone, which
    /// nothing of ours uses.
    /// - Returns: the limit that holds now.
    @discardableResult
    public static func raise() -> Int {
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { return 1024 }
        let former = limit.rlim_cur
        limit.rlim_cur = limit.rlim_max
        return Int(clamping: setrlimit(resource, &limit) == 0 ? limit.rlim_max : former)
    }
}
