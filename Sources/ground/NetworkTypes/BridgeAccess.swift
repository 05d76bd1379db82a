/// What may be read of Envoy through the tunnel; nothing that changes it, ever.
public enum BridgeAccess: String, Codable, Hashable, Sendable, CaseIterable {
    /// Figures, clusters, listeners and the configuration, as for debugging by curl.
    case readOnly = "ReadOnly"
    /// `/stats/prometheus` and `/ready` alone.
    case metrics = "Metrics"
    /// Nothing: no port is opened.
    case off = "Off"
}
