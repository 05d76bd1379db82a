public import NetworkTypes
public import NodeDocument
public import Sodium

/// What the prober beside Envoy asks the uplinks, and where the bindings are at each: `./probes.json` in Envoy's folder.
public struct UplinkProbes: Hashable, Sendable {
    public static let fileName = "probes.json"

    public var probing: UplinkProbing
    public var uplinks: [ProbedUplink]
    /// By the binding's name, which is its cluster's.
    public var tunnelPorts: [String: Port]
    /// Of the uplinks' document that forwards all of them; nil where none is known.
    public var document: SHA256Digest?

    public init(
        probing: UplinkProbing, uplinks: [ProbedUplink], tunnelPorts: [String: Port], document: SHA256Digest? = nil
    ) {
        self.probing = probing
        self.uplinks = uplinks
        self.tunnelPorts = tunnelPorts
        self.document = document
    }

    /// As JSON; equal values have equal texts.
    public var text: String { (try? DocumentJSON.encode(self)).map { String(decoding: $0, as: UTF8.self) + "\n" } ?? "" }
}

extension UplinkProbes: Codable {
    private enum CodingKeys: String, CodingKey {
        case uplinks, tunnelPorts, document
    }

    /// The file has the members of `probing` beside the others.
    public func encode(to encoder: any Encoder) throws {
        try probing.encode(to: encoder)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(uplinks, forKey: .uplinks)
        try container.encode(tunnelPorts, forKey: .tunnelPorts)
        try container.encodeIfPresent(document, forKey: .document)
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            probing: try UplinkProbing(from: decoder), uplinks: try container.decode([ProbedUplink].self, forKey: .uplinks),
            tunnelPorts: try container.decode([String: Port].self, forKey: .tunnelPorts),
            document: try container.decodeIfPresent(SHA256Digest.self, forKey: .document))
    }
}

/// One way to an uplink, which may have two: by WireGuard and by links.
public struct ProbedUplink: Hashable, Codable, Sendable {
    public var ordinal: Int
    /// In the tunnel, or of the link program for this uplink; no two have the same.
    public var address: IPv4Address
    /// Envoy's: connections take the ways of the lowest at which an uplink is well. Nil is 0.
    public var priority: Int?

    public init(ordinal: Int, address: IPv4Address, priority: Int? = nil) {
        self.ordinal = ordinal
        self.address = address
        self.priority = priority
    }
}
