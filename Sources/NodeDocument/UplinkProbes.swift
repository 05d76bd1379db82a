public import NetworkTypes

/// What the prober beside Envoy asks the uplinks, and where the bindings are at each: `./probes.json` in Envoy's folder.
public struct UplinkProbes: Hashable, Codable, Sendable {
    public static let fileName = "probes.json"

    /// Between two questions to an uplink that is well.
    public var intervalMilliseconds: Int
    /// That an answer may take.
    public var timeoutMilliseconds: Int
    /// Failures in a row that take an uplink out.
    public var unhealthyThreshold: Int
    public var uplinks: [ProbedUplink]
    /// By the binding's name, which is its cluster's.
    public var tunnelPorts: [String: Port]

    public init(
        intervalMilliseconds: Int, timeoutMilliseconds: Int, unhealthyThreshold: Int, uplinks: [ProbedUplink],
        tunnelPorts: [String: Port]
    ) {
        self.intervalMilliseconds = intervalMilliseconds
        self.timeoutMilliseconds = timeoutMilliseconds
        self.unhealthyThreshold = unhealthyThreshold
        self.uplinks = uplinks
        self.tunnelPorts = tunnelPorts
    }

    /// As JSON; equal values have equal texts.
    public var text: String { (try? DocumentJSON.encode(self)).map { String(decoding: $0, as: UTF8.self) + "\n" } ?? "" }
}

public struct ProbedUplink: Hashable, Codable, Sendable {
    public var ordinal: Int
    /// In the tunnel.
    public var address: IPv4Address

    public init(ordinal: Int, address: IPv4Address) {
        self.ordinal = ordinal
        self.address = address
    }
}
