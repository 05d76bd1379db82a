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

/// What a unit of ours does with its process where there is systemd: a folder for its sockets, a read-only view of its files, as many open
/// files as it may need, and another user with no right but what it needs.
struct Confinement {
    let host: Host
    let user: String
    /// The process's own.
    let runtime: String
    let files: String
    /// Where it sees `files`; the working directory.
    let view: String
    let openFiles: Int
    let hasLowPorts: Bool

    /// Envoy's.
    static func envoy(_ host: Host) -> Confinement {
        let launch = (try? readJSON(EnvoyLaunch.self, from: host.paths.envoyFiles + "/" + EnvoyLayout.launch)) ?? nil
        let openFiles = UnitSettings.openFiles(
            maxConnections: launch?.maxConnections ?? 32768, workers: processors(), limit: mostOpenFiles(host))
        return Confinement(
            host: host, user: envoyUser, runtime: host.paths.runtime, files: host.paths.envoyFiles, view: host.paths.envoyView,
            openFiles: openFiles, hasLowPorts: true)
    }

    /// The link program's.
    static func link(_ host: Host) -> Confinement {
        Confinement(
            host: host, user: linkUser, runtime: host.paths.linkRuntime, files: host.paths.linkFiles, view: host.paths.linkView,
            openFiles: min(1 << 20, mostOpenFiles(host)), hasLowPorts: false)
    }

    private static func mostOpenFiles(_ host: Host) -> Int {
        ((try? readLine(of: host.paths.root + "/proc/sys/fs/nr_open")) ?? nil).flatMap { Int($0) } ?? 1 << 20
    }

    func enter() throws(AgentError) {
        guard let account = try EnvoyAccount.find(host.paths, named: user) else {
            throw AgentError(.unsupportedHost, "there is no user \(user); apply the EdgeNode again")
        }
        try removeTree(runtime)
        try makeFolder(runtime, .secretFolder)
        try makeFolder(view, .publicFolder)
        raiseOpenFiles()
        try checked("making a mount namespace (\(user) must not see more of \(host.paths.settings) than its own)") {
            unshare(CLONE_NEWNS)
        }
        try mounted("keeping mounts from the host", nil, "/", UInt(MS_REC) | UInt(MS_PRIVATE))
        try mounted("showing \(user) its files", files, view, UInt(MS_BIND))
        try mounted("showing \(user) its files read-only", nil, view, UInt(MS_BIND) | UInt(MS_REMOUNT) | UInt(MS_RDONLY))
        // Last: from then on its user may put anything in the place of what is in it.
        try checked("giving \(runtime) to \(user)") { chown(runtime, account.user, account.group) }
        try checked("entering \(view)") { chdir(view) }
        try checked("becoming \(user)") { tidegate_become(account.user, account.group, UInt32(CAP_NET_BIND_SERVICE)) }
        // Without the ambient one (capabilities(7)) the program that this process starts has none.
        if !hasLowPorts {
            try checked("giving the low ports up") { tidegate_prctl(PR_CAP_AMBIENT, UInt(PR_CAP_AMBIENT_CLEAR_ALL)) }
        }
    }

    private func mounted(_ tried: String, _ source: String?, _ target: String, _ flags: UInt) throws(AgentError) {
        try checked(tried) { mount(source, target, nil, flags, nil) }
    }

    /// Less than wanted is no reason not to serve.
    private func raiseOpenFiles() {
        var limit = rlimit(rlim_cur: rlim_t(openFiles), rlim_max: rlim_t(openFiles))
        if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 {
            host.logger.warning("the limit of open files stays as it is", metadata: ["wanted": "\(openFiles)"])
        }
    }
}
