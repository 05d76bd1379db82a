public import NetworkTypes

/// To whom connections go without the proxy, as `NO_PROXY` lists them: names with all below them (only those below with a dot or `*.`
/// before), addresses, networks, `*` for all; each but networks may have a port behind it. What is none of these is passed over.
public struct ProxyExceptions: Equatable, Sendable {
    private enum Rule: Equatable, Sendable {
        case all
        case name(String, onlyBelow: Bool, Port?)
        case address(IPAddress, Port?)
        case network(CIDR)
    }

    private let rules: [Rule]

    /// - Parameter list: separated by commas or blanks.
    public init(_ list: String = "") { rules = list.split { $0 == "," || $0.isWhitespace }.compactMap { Self.rule(String($0)) } }

    public func cover(_ host: HostAddress, _ port: Port) -> Bool {
        rules.contains { rule in
            switch (rule, host) {
            case (.all, _): true
            case (.name(let name, let onlyBelow, let only), .name(let host)):
                (only == nil || only == port) && (host.hasSuffix(".\(name)") || !onlyBelow && host == name)
            case (.address(let address, let only), .ip(let host)): (only == nil || only == port) && address == host
            case (.network(let network), .ip(.v4(let host))): network.contains(host)
            default: false
            }
        }
    }

    private static func rule(_ text: String) -> Rule? {
        if text == "*" { return .all }
        if let network = try? CIDR(parsing: text), text.contains("/") { return .network(network) }
        if let address = IPAddress(text) { return .address(address, nil) }
        let (host, port) = parts(text)
        if let address = IPAddress(host) { return .address(address, port) }
        let isBelow = host.hasPrefix(".") || host.hasPrefix("*.")
        let name = host.drop { $0 == "*" || $0 == "." }.lowercased()
        return isDNSName(name) ? .name(name, onlyBelow: isBelow, port) : nil
    }

    /// `host:port`, `[v6]:port`, or a host alone.
    private static func parts(_ text: String) -> (host: String, port: Port?) {
        func bare(_ host: Substring) -> String { String(host.drop { $0 == "[" }.prefix { $0 != "]" }) }
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]).flatMap({ try? Port($0) })
        else { return (bare(text[...]), nil) }
        return (bare(text[..<colon]), port)
    }
}
