/// HAProxy's PROXY protocol, the text form (V1) or the binary one (V2).
public enum ProxyProtocolVersion: String, Codable, Hashable, CaseIterable, Sendable {
    case v1 = "V1"
    case v2 = "V2"
}
