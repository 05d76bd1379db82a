import Documents
public import NetworkTypes

/// What a client of wstunnel asks for, as its upgrade request says it (erebe/wstunnel, 8.5 to 10.6: tunnel/transport/jwt.rs and
/// server/utils.rs). Nothing in it is believed: its signature is nobody's, and the prefix of the path alone says who may ask.
public struct WstunnelRequest: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// The server dials, and joins the connection (`-L tcp://`). `hasProxyHeader`: it is to begin with a PROXY header.
        case tcp(hasProxyHeader: Bool)
        /// The server sends datagrams there (`-L udp://`).
        case udp
        /// The server listens, and answers when somebody has connected (`-R tcp://`).
        case reverseTCP
        case reverseUDP
        /// SOCKS, HTTP proxies and unix sockets at the server.
        case other(String)
    }

    public var kind: Kind
    /// Where to: for the reverse kinds an address to listen at. Of IPv6 without brackets.
    public var host: String
    public var port: Port

    public init(kind: Kind, host: String, port: Port) {
        self.kind = kind
        self.host = host
        self.port = port
    }

    /// Characters of a token. A client's has some 250.
    public static let longestToken = 4096

    /// The first part of the path, which is the client's password; nil for a path that no client of wstunnel asks for.
    public static func prefix(ofPath path: some StringProtocol) -> Substring? {
        let path = Substring(path.prefix { $0 != "?" })
        guard path.hasPrefix("/"), path.hasSuffix("/events") else { return nil }
        let prefix = path.dropFirst().prefix { $0 != "/" }
        return prefix.isEmpty || prefix.endIndex == path.endIndex ? nil : prefix
    }

    /// The token among the values of `Sec-WebSocket-Protocol`, or else the `Cookie`.
    public static func token(protocols: [String], cookie: String?) -> Substring? {
        let mark = "authorization.bearer."
        for word in protocols.lazy.flatMap({ $0.split(separator: ",") }) {
            let word = word.drop { $0 == " " }
            if word.hasPrefix(mark) { return word.dropFirst(mark.count).prefix { $0 != " " } }
        }
        return cookie.map { Substring($0) }
    }

    /// - Throws: `InvalidValue`, which does not repeat the token.
    public init(token: some StringProtocol) throws(InvalidValue) {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard token.utf8.count <= Self.longestToken, parts.count == 3, let json = decodeBase64URL(Array(parts[1].utf8)),
            let claims = try? FieldNode(json: json)
        else { throw Self.invalid("it is no JSON Web Token") }
        guard let kind = Self.kind(claims["p"]) else { throw Self.invalid("it names no protocol") }
        guard let host = claims["r"]?.text, !host.isEmpty, host.utf8.count <= 255,
            host.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
        else { throw Self.invalid("it names no host") }
        guard let number = claims["rp"]?.integer, let port = try? Port(number) else { throw Self.invalid("it names no port") }
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        self.init(kind: kind, host: isBracketed ? String(host.dropFirst().dropLast()) : host, port: port)
    }

    /// A word (`"ReverseTcp"`, and all kinds of version 8), or a mapping with one entry.
    private static func kind(_ field: FieldNode?) -> Kind? {
        let (name, content): (String, FieldNode?)
        if let text = field?.text {
            (name, content) = (text, nil)
        } else if let entries = field?.entries, entries.count == 1 {
            (name, content) = (entries[0].key, entries[0].value)
        } else {
            return nil
        }
        switch name {
        case "Tcp": return .tcp(hasProxyHeader: content?["proxy_protocol"]?.bool ?? false)
        case "Udp": return .udp
        case "ReverseTcp": return .reverseTCP
        case "ReverseUdp": return .reverseUDP
        default: return .other(printable(name, limit: 40))
        }
    }

    private static func invalid(_ reason: String) -> InvalidValue {
        InvalidValue(expected: "token of a wstunnel client", given: "<redacted>", reason: reason)
    }
}
