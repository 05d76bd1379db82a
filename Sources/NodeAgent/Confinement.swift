import CLinuxHeaders
import Glibc

/// No memory of this process goes to a core dump or another process of the same user (prctl(2), PR_SET_DUMPABLE), and neither does that of
/// its children to a core file.
public func forbidDumps() {
    _ = tidegate_prctl(PR_SET_DUMPABLE, 0)
    var limit = rlimit(rlim_cur: 0, rlim_max: 0)
    setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
}
