public import EnvoyConfig
public import HostNetwork
public import Logging
public import NetworkTypes
public import NodeDocument
public import RouteNetlink
public import Sodium
public import WireGuardNetlink

/// The host as the agent works on it, at the level of commands; the seam between decisions and the machine.
public struct Host: Sendable {
    public var paths: HostPaths
    /// Of this agent.
    public var build: String
    public var logger: Logger
    /// Runs a program of the host to its end.
    public var run: @Sendable (Command) throws(AgentError) -> CommandResult
    /// Whether systemd is process 1.
    public var hasSystemd: @Sendable () -> Bool
    public var tunnel: Tunnel
    public var kernel: KernelControl
    /// What decides Envoy's files beside the document.
    public var envoyHost: @Sendable () throws(AgentError) -> EnvoyHost
    /// Asks Envoy's admin interface: path, and bytes allowed in the answer.
    public var askEnvoy: @Sendable (String, Int) throws(AgentError) -> HTTPReply
    /// Asks uplinks for `/status` through the tunnel; those that do not answer are left out.
    public var askUplinks: @Sendable ([IPv4Address]) -> [IPv4Address: UplinkReport]
    /// Seconds since 1970.
    public var now: @Sendable () -> Int64

    var envoy: EnvoyAdmin { EnvoyAdmin(get: askEnvoy) }

    public init(
        paths: HostPaths, build: String, logger: Logger, run: @escaping @Sendable (Command) throws(AgentError) -> CommandResult,
        hasSystemd: @escaping @Sendable () -> Bool, tunnel: Tunnel, kernel: KernelControl,
        envoyHost: @escaping @Sendable () throws(AgentError) -> EnvoyHost,
        askEnvoy: @escaping @Sendable (String, Int) throws(AgentError) -> HTTPReply,
        askUplinks: @escaping @Sendable ([IPv4Address]) -> [IPv4Address: UplinkReport], now: @escaping @Sendable () -> Int64
    ) {
        self.paths = paths
        self.build = build
        self.logger = logger
        self.run = run
        self.hasSystemd = hasSystemd
        self.tunnel = tunnel
        self.kernel = kernel
        self.envoyHost = envoyHost
        self.askEnvoy = askEnvoy
        self.askUplinks = askUplinks
        self.now = now
    }
}

/// `wg-relay`.
public struct Tunnel: Sendable {
    public typealias Kind = WireGuardDevice.Kind

    /// Makes the interface and its peers what the document says; the closure starts wireguard-go where it is needed.
    /// - Returns: what was changed, in words.
    public typealias Ensure =
        @Sendable (
            RelayWireGuard, _ lastEndpoints: [WireGuardPublicKey: WireGuardEndpoint], WireGuardPrivateKey,
            () throws(AgentError) -> Void
        ) throws(AgentError) -> (kind: Kind, changes: [String])

    public var ensure: Ensure
    /// Nil when there is no such interface.
    public var status: @Sendable () throws(AgentError) -> (kind: Kind, device: WireGuardDeviceStatus)?
    /// Ends the sessions of these uplinks, so that they can begin new ones whatever their clock says.
    public var forget: @Sendable ([WireGuardPeerStatus]) throws(AgentError) -> Void
    /// - Returns: what was changed, in words.
    public var remove: @Sendable () throws(AgentError) -> [String]

    public init(
        ensure: @escaping Ensure,
        status: @escaping @Sendable () throws(AgentError) -> (kind: Kind, device: WireGuardDeviceStatus)?,
        forget: @escaping @Sendable ([WireGuardPeerStatus]) throws(AgentError) -> Void,
        remove: @escaping @Sendable () throws(AgentError) -> [String]
    ) {
        self.ensure = ensure
        self.status = status
        self.forget = forget
        self.remove = remove
    }
}

/// Settings and sockets of the kernel.
public struct KernelControl: Sendable {
    /// The value of a sysctl; nil where this kernel, or this container, does not have it.
    public var setting: @Sendable (String) throws(AgentError) -> String?
    public var set: @Sendable (_ name: String, _ value: String) throws(AgentError) -> Void
    /// The packet offloads that are on, for each interface that a default route leads through.
    public var offloads: @Sendable () throws(AgentError) -> [String: [String]]
    public var setOffloads: @Sendable (_ features: [String], _ isOn: Bool, _ device: String) throws(AgentError) -> Void
    /// Every socket that listens or holds a UDP port.
    public var sockets: @Sendable () throws(AgentError) -> [BoundSocket]
    /// Which of these ports the host's firewall closes, whosever it is: the chain and the rule that would let it in, in words.
    public var inputDrops: @Sendable ([PublicPort]) throws(AgentError) -> [PublicPort: String]
    /// Who has these sockets, in words such as `nginx (pid 7)`, by inode.
    public var owners: @Sendable ([BoundSocket]) -> [UInt64: String]
    /// Lets nobody but root and Envoy's user send into the tunnel, and into links these and the link program's (`RelayRuleset`). Nil for
    /// no links.
    /// - Returns: what was changed, in words.
    public var guardTunnel: @Sendable (RelayWireGuard, _ envoy: UInt32, _ link: UInt32?) throws(AgentError) -> [String]
    /// Takes that back.
    public var unguardTunnel: @Sendable () throws(AgentError) -> [String]

    public init(
        setting: @escaping @Sendable (String) throws(AgentError) -> String?,
        set: @escaping @Sendable (String, String) throws(AgentError) -> Void,
        offloads: @escaping @Sendable () throws(AgentError) -> [String: [String]],
        setOffloads: @escaping @Sendable ([String], Bool, String) throws(AgentError) -> Void,
        sockets: @escaping @Sendable () throws(AgentError) -> [BoundSocket],
        inputDrops: @escaping @Sendable ([PublicPort]) throws(AgentError) -> [PublicPort: String],
        owners: @escaping @Sendable ([BoundSocket]) -> [UInt64: String],
        guardTunnel: @escaping @Sendable (RelayWireGuard, UInt32, UInt32?) throws(AgentError) -> [String],
        unguardTunnel: @escaping @Sendable () throws(AgentError) -> [String]
    ) {
        self.setting = setting
        self.set = set
        self.offloads = offloads
        self.setOffloads = setOffloads
        self.sockets = sockets
        self.inputDrops = inputDrops
        self.owners = owners
        self.guardTunnel = guardTunnel
        self.unguardTunnel = unguardTunnel
    }
}
