/// What only the host knows of itself, and its Envoy must.
public struct EnvoyHost: Hashable, Sendable {
    /// False where no IPv6 socket can be opened at all (`ipv6.disable=1`); public listeners then take IPv4 alone, for Envoy refuses
    /// a listener that it cannot bind. Disabling IPv6 by sysctl does not count: `::` can still be bound.
    public var hasIPv6: Bool
    /// Bytes of the host's memory; Envoy refuses new connections when its heap nears half of it.
    public var memoryBytes: Int
    /// Files that a service may have open here at once. Envoy crashes where it gets no socket, so it takes fewer connections then.
    public var openFiles: Int
    /// Files that a child of the agent may have open at once, such as the Envoy that validates.
    public var childFiles: Int
    /// Envoy's worker threads: each has a socket of its own for each listener.
    public var workers: Int
    /// Ports that the kernel gives to what this host opens (`net.ipv4.ip_local_port_range`): each UDP session takes one.
    public var localPorts: Int
    /// Files that stay open whatever connects (`EnvoyConfiguration.standingFiles`); connections cannot have them.
    public var standingFiles = 0

    public init(
        hasIPv6: Bool, memoryBytes: Int, openFiles: Int = 1 << 20, childFiles: Int = 1 << 20, workers: Int = 1,
        localPorts: Int = Self.usualLocalPorts
    ) {
        self.hasIPv6 = hasIPv6
        self.memoryBytes = memoryBytes
        self.openFiles = openFiles
        self.childFiles = childFiles
        self.workers = workers
        self.localPorts = localPorts
    }

    /// Rounded down, so that the few bytes by which a kernel's own share differs change nothing.
    var heapLimit: Int { max(memoryBytes / 2, 128 << 20) / (64 << 20) * (64 << 20) }
}
