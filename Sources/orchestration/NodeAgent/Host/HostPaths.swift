import NodeDocument

/// Where everything of ours lies on the host, under one root (`""` for the host itself, a folder in tests).
public struct HostPaths: Hashable, Sendable {
    /// Without a final slash.
    public let root: String

    public init(root: String = "") {
        self.root = root.hasSuffix("/") ? String(root.dropLast()) : root
    }

    /// Programs: the agent, its libraries, wireguard-go, Envoy.
    public var programs: String { root + "/usr/local/lib/tidegate" }
    public var agent: String { programs + "/edge-agent" }
    /// The bundle's build, one line; written by the bundle script.
    public var build: String { programs + "/BUILD" }
    public var loader: String { programs + "/ld.so" }
    public var wireGuardGo: String { programs + "/wireguard-go" }
    /// Where the host may have one of its own.
    public var hostWireGuardGo: [String] { ["/usr/local/bin", "/usr/bin"].map { "\(root)\($0)/wireguard-go" } }
    /// A link to `envoy-VERSION`; its target is what the next start of Envoy runs.
    public var envoyLink: String { programs + "/envoy" }
    public func envoyFolder(version: String) -> String { programs + "/envoy-" + version }
    /// Of the link program, which is pushed where there are links.
    public var linkProgram: String { programs + "/edge-link" }
    /// What is known of it (`ProgramRecord`).
    public var linkRecord: String { programs + "/edge-link.json" }

    /// Settings and secrets, 0700.
    public var settings: String { root + "/etc/tidegate" }
    /// The document in force, written last of all.
    public var document: String { settings + "/document.json" }
    public var relayKey: String { settings + "/relay.key" }
    public var state: String { settings + "/state.json" }
    /// What Envoy reads.
    public var envoyFiles: String { settings + "/envoy" }
    /// What the link program reads.
    public var linkFiles: String { settings + "/link" }
    static let linkKeyName = "link.key"
    /// The seed of the relay's key for links, which the link program's user may read.
    public var linkKey: String { linkFiles + "/" + Self.linkKeyName }
    /// A full set of Envoy's files on its way to be proven; gone after each apply.
    public var staging: String { settings + "/staging" }

    /// systemd.unit(5): units of the system's administrator.
    public var units: String { root + "/etc/systemd/system" }
    public func unit(_ name: UnitName) -> String { units + "/" + name.rawValue }

    public var lock: String { root + "/run/tidegate.lock" }
    /// Made by systemd for Envoy's unit (`RuntimeDirectory=`).
    public var runtime: String { root + "/run/tidegate" }
    /// Where Envoy sees `envoyFiles`, read-only; its working directory.
    public var envoyView: String { runtime + "/config" }
    /// Envoy's admin interface, for root and Envoy's own user alone.
    public var adminSocket: String { runtime + "/envoy-admin.sock" }
    /// What the prober knows of the uplinks (`UplinkWord`).
    public var uplinkWord: String { runtime + "/uplinks.json" }
    /// The same without their reports.
    public var uplinkBrief: String { runtime + "/uplinks-brief.json" }
    /// What the Envoys told the prober of their files (`EnvoyWord`).
    public var envoyWord: String { runtime + "/envoy-word.json" }
    /// What the supervisor of Envoy says of itself (`EnvoyRun`).
    public var envoyRun: String { runtime + "/envoy.json" }
    /// Made by systemd for the link program's unit.
    public var linkRuntime: String { root + "/run/tidegate-link" }
    /// Where the link program sees `linkFiles`, read-only.
    public var linkView: String { linkRuntime + "/config" }
    /// What the link program tells (`LinkStatusFile`).
    public var linkStatus: String { linkRuntime + "/links.json" }
    /// Of the user that links by SSH log in as; on the disk, for it must be there before anything of ours runs.
    public var sshHome: String { root + "/var/lib/tidegate-ssh" }
    public var sshSettings: String { sshHome + "/.ssh" }
    public var sshKeys: String { sshSettings + "/authorized_keys" }
    /// Where the link program takes links from sshd, in a folder that it may write to.
    public var sshSocket: String { root + SSHWay.socket }
    /// Where shm_open(3) puts its objects.
    public var sharedMemory: String { root + "/dev/shm" }
    /// The folder of wireguard-go's sockets; its place is fixed in wireguard-go.
    public var wireGuardSockets: String { root + "/run/wireguard" }

    /// Names the process that keeps a unit where there is no systemd, and is locked by it.
    public func keeper(_ unit: UnitName) -> String { root + "/run/" + unit.stem + ".pid" }
    public func log(_ unit: UnitName) -> String { root + "/var/log/" + unit.stem + ".log" }

    public var passwd: String { root + "/etc/passwd" }
    /// The device that user-space tunnels are made with.
    public var tunnelDevice: String { root + "/dev/net/tun" }
}

/// Our units.
public enum UnitName: String, CaseIterable, Sendable {
    /// Puts back after a reboot what the kernel forgets.
    case boot = "tidegate-boot.service"
    /// wireguard-go, where the kernel has no WireGuard.
    case wireGuard = "tidegate-wireguard.service"
    case envoy = "tidegate-envoy.service"
    /// The link program, where there are links.
    case link = "tidegate-link.service"

    /// Without `.service`.
    var stem: String { String(rawValue.dropLast(".service".count)) }
}
