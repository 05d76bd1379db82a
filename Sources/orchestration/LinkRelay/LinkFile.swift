import NetworkTypes
import Sodium

/// `link.json` as the agent writes it (`LinkServiceFile` of NodeDocument). It is read without Foundation's decoder, which would be a third
/// of the program that is pushed to each VPS.
struct LinkFile: Equatable, Sendable {
    struct Uplink: Equatable, Sendable {
        var ordinal: Int
        var address: IPv4Address
        var pin: SHA256Digest
    }

    static let longest = 1 << 20

    var uplinks: [Uplink]
    var tcpPorts: Set<Port>
    var udpPorts: Set<Port>
    /// Seconds for which a session of a UDP port may rest; none of an older agent.
    var udpSessionSeconds: [Port: Int]
    var takesTLS: Bool
    var takesWebSockets: Bool
    /// Where WebSockets are taken, a secret.
    var path: String
    /// Where links come by sshd, a unix socket; nil where they do not.
    var socket: String?

    /// - Throws: `LinkServiceError` that says what is wrong with it.
    init(_ bytes: [UInt8]) throws(LinkServiceError) {
        guard let json = JSONText(bytes) else { throw LinkServiceError(description: "it is no JSON, or more than it may hold") }
        uplinks = try json.list("uplinks").map { value throws(LinkServiceError) in
            guard let ordinal = value["ordinal"]?.number, let address: IPv4Address = value["address"]?.parsed(),
                let pin: SHA256Digest = value["pin"]?.parsed()
            else { throw LinkServiceError(description: "an uplink without a number, an address or a pin") }
            return Uplink(ordinal: ordinal, address: address, pin: pin)
        }
        tcpPorts = try Self.ports(json, "tcpPorts")
        udpPorts = try Self.ports(json, "udpPorts")
        udpSessionSeconds = try Self.seconds(json, "udpSessionSeconds", of: try json.list("udpPorts"))
        let carriers = try json.list("carriers").compactMap(\.text)
        takesTLS = carriers.contains(TunnelCarrier.tls.rawValue)
        takesWebSockets = carriers.contains(TunnelCarrier.webSocket.rawValue)
        guard let path = json["path"]?.text else { throw LinkServiceError(description: "there is no path") }
        self.path = path
        if carriers.contains(TunnelCarrier.ssh.rawValue) {
            guard let socket = json["socket"]?.text else { throw LinkServiceError(description: "there is no socket for sshd") }
            self.socket = socket
        }
        if let fault { throw LinkServiceError(description: fault) }
    }

    private static func ports(_ json: JSONText, _ name: String) throws(LinkServiceError) -> Set<Port> {
        Set(
            try json.list(name).map { value throws(LinkServiceError) in
                guard let number = value.number, let port = try? Port(number) else {
                    throw LinkServiceError(description: "\(name) holds what is no port")
                }
                return port
            })
    }

    /// By port: the list has a number for each of them, in their order.
    private static func seconds(
        _ json: JSONText, _ name: String, of ports: [JSONText]
    ) throws(LinkServiceError) -> [Port: Int] {
        guard json[name] != nil else { return [:] }
        let seconds = try json.list(name).compactMap(\.number)
        guard seconds.count == ports.count, seconds.allSatisfy({ (1...LinkFile.mostSeconds).contains($0) }) else {
            throw LinkServiceError(description: "\(name) does not fit udpPorts")
        }
        let known = ports.map { $0.number.flatMap { try? Port($0) } }
        let times = zip(known, seconds).compactMap { port, seconds in port.map { ($0, seconds) } }
        return Dictionary(times, uniquingKeysWith: { first, _ in first })
    }

    /// What can still be counted in nanoseconds, and all that a manifest can say.
    private static let mostSeconds = Int(Int64.max / 1_000_000_000)

    private var fault: String? {
        if Set(uplinks.map(\.address)).count < uplinks.count { return "two uplinks have one address" }
        if Set(uplinks.map(\.pin)).count < uplinks.count { return "two uplinks have one key" }
        if let stray = uplinks.first(where: { $0.address.bytes[0] != 127 }) { return "\(stray.address) is no loopback address" }
        if !path.hasPrefix("/") || path.utf8.count > 1024 || !path.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) {
            return "the path of WebSockets is none"
        }
        // unix(7): a path has 107 bytes at most, and where it is made anew another name stands beside it.
        if let socket, !socket.hasPrefix("/") || socket.utf8.count > 90 { return "the socket for sshd is none" }
        return takesTLS || takesWebSockets || socket != nil ? nil : "no carrier is a link's"
    }
}

/// Why links cannot be served, in words.
struct LinkServiceError: Error, CustomStringConvertible {
    let description: String
}

/// JSON (RFC 8259), as much of it as `link.json` has: no fractions, and of escapes those of `"`, `\` and `/`.
enum JSONText: Equatable {
    case object([String: JSONText])
    case array([JSONText])
    case text(String)
    case number(Int)
    case literal(String)

    private static let deepest = 8

    /// Nil for what is none.
    init?(_ bytes: [UInt8]) {
        var reader = JSONTextReader(rest: bytes[...])
        guard bytes.count <= LinkFile.longest, let value = reader.value(within: Self.deepest), reader.isAtEnd else { return nil }
        self = value
    }

    subscript(name: String) -> JSONText? { if case .object(let members) = self { members[name] } else { nil } }
    var text: String? { if case .text(let text) = self { text } else { nil } }
    var number: Int? { if case .number(let number) = self { number } else { nil } }

    func parsed<Value: StringValue>() -> Value? { text.flatMap { try? Value(parsing: $0) } }

    func list(_ name: String) throws(LinkServiceError) -> [JSONText] {
        guard case .array(let values)? = self[name] else { throw LinkServiceError(description: "there is no list \(name)") }
        return values
    }

    /// As a text between quotes.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case _ where scalar.value < 0x20: result += " "
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

private struct JSONTextReader {
    var rest: ArraySlice<UInt8>

    var isAtEnd: Bool {
        mutating get {
            skipSpace()
            return rest.isEmpty
        }
    }

    private mutating func skipSpace() {
        while let byte = rest.first, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { _ = rest.popFirst() }
    }

    private mutating func take(_ character: Character) -> Bool {
        skipSpace()
        guard let first = rest.first, first == character.asciiValue else { return false }
        _ = rest.popFirst()
        return true
    }

    mutating func value(within depth: Int) -> JSONText? {
        if depth == 0 { return nil }
        if take("{") { return members(depth) }
        if take("[") { return elements(depth) }
        if take("\"") { return text().map { .text($0) } }
        let word = String(decoding: rest.prefix { byte in !",]} \t\r\n".utf8.contains(byte) }.prefix(32), as: UTF8.self)
        rest = rest.dropFirst(word.utf8.count)
        if ["true", "false", "null"].contains(word) { return .literal(word) }
        return Int(word).map { .number($0) }
    }

    private mutating func members(_ depth: Int) -> JSONText? {
        var members: [String: JSONText] = [:]
        if take("}") { return .object(members) }
        repeat {
            guard take("\""), let name = text(), take(":"), let value = value(within: depth - 1) else { return nil }
            members[name] = value
        } while take(",")
        return take("}") ? .object(members) : nil
    }

    private mutating func elements(_ depth: Int) -> JSONText? {
        var values: [JSONText] = []
        if take("]") { return .array(values) }
        repeat {
            guard let value = value(within: depth - 1) else { return nil }
            values.append(value)
        } while take(",")
        return take("]") ? .array(values) : nil
    }

    /// Up to the quote that ends it.
    private mutating func text() -> String? {
        var bytes: [UInt8] = []
        while let byte = rest.popFirst() {
            switch byte {
            case 0x22: return String(decoding: bytes, as: UTF8.self)
            case 0x5C:
                guard let escaped = rest.popFirst(), [0x22, 0x5C, 0x2F].contains(escaped) else { return nil }
                bytes.append(escaped)
            case ..<0x20: return nil
            default: bytes.append(byte)
            }
        }
        return nil
    }
}
