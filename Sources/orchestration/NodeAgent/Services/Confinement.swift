import CLinuxHeaders
import Glibc
import HostNetwork
import Logging
import NodeDocument

/// No memory of this process goes to a core dump or another process of the same user (prctl(2), PR_SET_DUMPABLE), and neither does that of
/// its children to a core file.
public func forbidDumps() {
    _ = tidegate_prctl(PR_SET_DUMPABLE, 0)
    var limit = rlimit(rlim_cur: 0, rlim_max: 0)
    setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
}

/// Takes the soft limit of open files to the hard one, for this process and its children: an SSH session gives 1,024, and Envoy crashes
/// where it gets no file.
public func raiseOpenFiles() { _ = OpenFiles.raise() }

/// What Envoy's unit does with its process where there is systemd: a folder for its sockets, a read-only view of its files, as many open
/// files as it may need, and another user with no right but the low ports.
struct Confinement {
    let host: Host

    func enter() throws(AgentError) {
        let paths = host.paths
        guard let account = try EnvoyAccount.find(paths) else {
            throw AgentError(.unsupportedHost, "there is no user \(envoyUser); apply the EdgeNode again")
        }
        try removeTree(paths.runtime)
        try makeFolder(paths.runtime, .secretFolder)
        try makeFolder(paths.envoyView, .publicFolder)
        raiseOpenFiles()
        try checked("making a mount namespace (Envoy must not see more of \(paths.settings) than its own)") {
            unshare(CLONE_NEWNS)
        }
        try mounted("keeping mounts from the host", nil, "/", UInt(MS_REC) | UInt(MS_PRIVATE))
        try mounted("showing Envoy its files", paths.envoyFiles, paths.envoyView, UInt(MS_BIND))
        try mounted(
            "showing Envoy its files read-only", nil, paths.envoyView, UInt(MS_BIND) | UInt(MS_REMOUNT) | UInt(MS_RDONLY))
        // Last: from then on its user may put anything in the place of what is in it.
        try checked("giving \(paths.runtime) to \(envoyUser)") { chown(paths.runtime, account.user, account.group) }
        try checked("entering \(paths.envoyView)") { chdir(paths.envoyView) }
        try checked("becoming \(envoyUser)") { tidegate_become(account.user, account.group, UInt32(CAP_NET_BIND_SERVICE)) }
    }

    private func mounted(_ tried: String, _ source: String?, _ target: String, _ flags: UInt) throws(AgentError) {
        try checked(tried) { mount(source, target, nil, flags, nil) }
    }

    /// Less than wanted is no reason not to serve.
    private func raiseOpenFiles() {
        let ceiling = ((try? readLine(of: host.paths.root + "/proc/sys/fs/nr_open")) ?? nil).flatMap { Int($0) } ?? 1 << 20
        let launch = (try? readJSON(EnvoyLaunch.self, from: host.paths.envoyFiles + "/" + EnvoyLayout.launch)) ?? nil
        let wanted = UnitSettings.openFiles(
            maxConnections: launch?.maxConnections ?? 32768, workers: processors(), limit: ceiling)
        var limit = rlimit(rlim_cur: rlim_t(wanted), rlim_max: rlim_t(wanted))
        if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 {
            host.logger.warning("the limit of open files stays as it is", metadata: ["wanted": "\(wanted)"])
        }
    }
}
