import EnvoyConfig
import HostNetwork
import NodeDocument
import Syscalls

/// The name of the user and the group that Envoy runs as.
let envoyUser = "tidegate-envoy"

/// The same of the link program.
let linkUser = "tidegate-link"

/// What decides the text of the units.
struct UnitSettings: Hashable, Sendable {
    var paths: HostPaths
    /// Open files and connections that Envoy may have; each proxied connection takes two.
    var openFiles: Int
    /// Seconds that the connections of a listener that is gone may live.
    var drainSeconds: Int
    /// The most open files that a service may have.
    var openFilesLimit: Int
    /// Whether the link program takes links from sshd.
    var takesSSH: Bool

    /// What a running Envoy must be restarted for.
    var launchText: String { "open files \(openFiles), drain \(drainSeconds) s" }

    /// - Parameter openFilesLimit: the kernel's `fs.nr_open`; systemd refuses to start what wants more.
    /// - Parameter workers: Envoy's worker threads.
    init(paths: HostPaths, envoy: RelayEnvoy, openFilesLimit: Int, workers: Int = 1, takesSSH: Bool = false) {
        self.takesSSH = takesSSH
        self.paths = paths
        openFiles = Self.openFiles(maxConnections: envoy.maxConnections, workers: workers, limit: openFilesLimit)
        drainSeconds = envoy.drainSeconds
        self.openFilesLimit = openFilesLimit
    }

    /// Of the link program: a connection takes one, and a tunnel port one for each uplink and thread.
    var linkOpenFiles: Int { min(1 << 20, openFilesLimit) }

    /// For connections and UDP sessions, and for listeners, files and logs.
    static func openFiles(maxConnections: Int, workers: Int = 1, limit: Int) -> Int {
        min(EnvoyHost.clientFiles(maxConnections: maxConnections) + EnvoyHost.spareFiles(workers: workers), limit)
    }
}

extension UnitName {
    func text(_ settings: UnitSettings) -> [UInt8] {
        let text =
            switch self {
            case .boot: bootUnit(settings)
            case .wireGuard: wireGuardUnit(settings)
            case .envoy: envoyUnit(settings)
            case .link: linkUnit(settings)
            }
        return Array(text.utf8)
    }
}

private let header = "# Written by Tidegate's edge-agent, which puts changes back. Remove it with: edge-agent teardown\n"

/// What none of our units ever needs.
private let confinement = """
    LimitCORE=0
    LockPersonality=yes
    MemoryDenyWriteExecute=yes
    NoNewPrivileges=yes
    PrivateTmp=yes
    ProtectClock=yes
    ProtectControlGroups=yes
    ProtectHome=yes
    ProtectHostname=yes
    ProtectKernelLogs=yes
    ProtectKernelModules=yes
    ProtectProc=invisible
    ProtectSystem=strict
    RestrictNamespaces=yes
    RestrictRealtime=yes
    RestrictSUIDSGID=yes
    SystemCallArchitectures=native
    SystemCallErrorNumber=EPERM
    SystemCallFilter=@system-service mincore
    SystemCallFilter=~@privileged @resources
    UMask=0077
    """

/// What those need that ask the kernel for more than connections.
private let networkFamilies = "RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX"

/// It sets interfaces and the settings of the kernel as root with CAP_NET_ADMIN alone, and may have to mend wireguard-go's unit.
private func bootUnit(_ settings: UnitSettings) -> String {
    header + """
        [Unit]
        Description=Tidegate: WireGuard and kernel settings from the stored document
        Documentation=file:\(settings.paths.document)
        After=systemd-modules-load.service systemd-sysctl.service network-pre.target
        Before=\(UnitName.envoy.rawValue)

        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStart=\(settings.paths.agent) boot
        Restart=on-failure
        RestartSec=5
        ReadWritePaths=-\(settings.paths.settings) -\(settings.paths.units) /run
        CapabilityBoundingSet=CAP_NET_ADMIN
        DeviceAllow=/dev/net/tun rw
        DevicePolicy=closed
        PrivateMounts=yes
        \(networkFamilies)
        \(confinement)

        [Install]
        WantedBy=multi-user.target

        """
}

/// wireguard-go in the foreground; whenever it starts, its interface is configured from the stored document.
private func wireGuardUnit(_ settings: UnitSettings) -> String {
    header + """
        [Unit]
        Description=Tidegate: WireGuard in user space, since this kernel has none
        After=systemd-modules-load.service network-pre.target
        Before=\(UnitName.boot.rawValue) \(UnitName.envoy.rawValue)
        StartLimitIntervalSec=0

        [Service]
        Type=exec
        ExecStart=\(settings.paths.agent) run-wireguard
        Environment=\(WireGuardGo.environment.joined(separator: " "))
        ExecStartPost=+\(settings.paths.agent) boot
        Restart=always
        RestartSec=1
        RuntimeDirectory=wireguard
        RuntimeDirectoryPreserve=yes
        RuntimeDirectoryMode=0700
        AmbientCapabilities=CAP_NET_ADMIN
        CapabilityBoundingSet=CAP_NET_ADMIN
        DeviceAllow=/dev/net/tun rw
        DevicePolicy=closed
        ProcSubset=pid
        ProtectKernelTunables=yes
        \(networkFamilies)
        \(confinement)

        [Install]
        WantedBy=multi-user.target

        """
}

/// Envoy and its supervisor with no right but the low ports. Envoy sees its folder of `/etc/tidegate` through a read-only bind, so that folder's parent stays
/// closed to it; renames by the agent are seen through the bind, being the same folder.
private func envoyUnit(_ settings: UnitSettings) -> String {
    header + """
        [Unit]
        Description=Tidegate: Envoy, the public ports of this host
        Wants=network-online.target
        After=network-online.target \(UnitName.boot.rawValue) \(UnitName.wireGuard.rawValue)
        StartLimitIntervalSec=0

        [Service]
        Type=exec
        User=\(envoyUser)
        Group=\(envoyUser)
        ExecStart=\(settings.paths.agent) run-envoy
        ExecReload=\(settings.paths.agent) restart-envoy
        KillMode=mixed
        WorkingDirectory=\(settings.paths.envoyView)
        RuntimeDirectory=tidegate
        RuntimeDirectoryMode=0700
        BindReadOnlyPaths=\(settings.paths.envoyFiles):\(settings.paths.envoyView)
        Restart=always
        RestartSec=1
        TimeoutStopSec=10
        LimitNOFILE=\(settings.openFiles)
        AmbientCapabilities=CAP_NET_BIND_SERVICE
        CapabilityBoundingSet=CAP_NET_BIND_SERVICE
        PrivateDevices=yes
        PrivateMounts=yes
        ProcSubset=pid
        ProtectKernelTunables=yes
        RemoveIPC=yes
        \(networkFamilies)
        \(confinement)

        [Install]
        WantedBy=multi-user.target

        """
}

/// The link program and its supervisor with no right at all, and no address but loopback's: Envoy brings it the links and takes the
/// connections to it. Swift's worker threads set their own priority, and complain
/// where they may not. Where links come by sshd it may make its socket there; without that folder it serves the other carriers.
private func linkUnit(_ settings: UnitSettings) -> String {
    let socket = settings.takesSSH ? "\nReadWritePaths=-\(folderPart(of: settings.paths.sshSocket))" : ""
    return header + """
        [Unit]
        Description=Tidegate: links, which carry connections where WireGuard does not
        After=\(UnitName.boot.rawValue)
        Before=\(UnitName.envoy.rawValue)
        StartLimitIntervalSec=0

        [Service]
        Type=exec
        User=\(linkUser)
        Group=\(linkUser)
        ExecStart=\(settings.paths.agent) run-link
        KillMode=mixed
        WorkingDirectory=\(settings.paths.linkRuntime)
        RuntimeDirectory=tidegate-link
        RuntimeDirectoryMode=0700
        BindReadOnlyPaths=\(settings.paths.linkFiles):\(settings.paths.linkView)\(socket)
        Restart=always
        RestartSec=1
        TimeoutStopSec=\(LinkSupervisor.patience + 5)
        LimitNOFILE=\(settings.linkOpenFiles)
        CapabilityBoundingSet=
        IPAddressAllow=localhost
        IPAddressDeny=any
        PrivateDevices=yes
        PrivateMounts=yes
        ProcSubset=pid
        ProtectKernelTunables=yes
        RemoveIPC=yes
        RestrictAddressFamilies=AF_INET AF_UNIX
        \(confinement)
        SystemCallFilter=setpriority

        [Install]
        WantedBy=multi-user.target

        """
}
