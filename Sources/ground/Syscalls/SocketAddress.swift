public import Glibc
public import NetworkTypes

/// An address as the socket calls take it.
public struct SocketAddress: Sendable {
    private var storage = sockaddr_storage()
    private let length: socklen_t

    public var family: Int32 { Int32(storage.ss_family) }

    public init(_ address: IPAddress, port: Port) { self.init(address, portNumber: port.number) }

    /// - Parameter portNumber: 0 for one that the kernel chooses.
    public init(_ address: IPAddress, portNumber: UInt16) {
        switch address {
        case .v4(let v4):
            var value = sockaddr_in()
            value.sin_family = sa_family_t(AF_INET)
            value.sin_port = portNumber.bigEndian
            value.sin_addr.s_addr = v4.number.bigEndian
            self.init(value)
        case .v6(let v6):
            var value = sockaddr_in6()
            value.sin6_family = sa_family_t(AF_INET6)
            value.sin6_port = portNumber.bigEndian
            withUnsafeMutableBytes(of: &value.sin6_addr) { $0.copyBytes(from: v6.bytes) }
            self.init(value)
        }
    }

    /// A socket in the file system.
    /// - Throws: with `ENAMETOOLONG`; 107 bytes fit (unix(7)).
    public init(unix path: String) throws(SystemFailure) {
        self.init(try Self.unix(Array(path.utf8) + [0]))
    }

    /// A socket of this network namespace that is no file: a zero, and a name that ends with its length (unix(7)).
    public init(abstract name: String) throws(SystemFailure) {
        let name = [0] + Array(name.utf8)
        self.init(try Self.unix(name), length: (MemoryLayout.offset(of: \sockaddr_un.sun_path) ?? 2) + name.count)
    }

    private static func unix(_ name: [UInt8]) throws(SystemFailure) -> sockaddr_un {
        var value = sockaddr_un()
        value.sun_family = sa_family_t(AF_UNIX)
        let fits = withUnsafeMutableBytes(of: &value.sun_path) { room in
            guard name.count <= room.count else { return false }
            room.copyBytes(from: name)
            return true
        }
        guard fits else { throw SystemFailure("bind", ENAMETOOLONG) }
        return value
    }

    /// What getaddrinfo(3) found; nil unless it is IPv4 or IPv6.
    init?(_ info: addrinfo) {
        guard info.ai_family == AF_INET || info.ai_family == AF_INET6, let address = info.ai_addr,
            Int(info.ai_addrlen) <= MemoryLayout<sockaddr_storage>.size
        else { return nil }
        length = info.ai_addrlen
        withUnsafeMutableBytes(of: &storage) {
            $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(info.ai_addrlen)))
        }
    }

    /// - Parameter value: a `sockaddr` of whichever family.
    private init<Value>(_ value: Value, length: Int = MemoryLayout<Value>.size) {
        self.length = socklen_t(length)
        withUnsafeMutableBytes(of: &storage) { room in withUnsafeBytes(of: value) { room.copyBytes(from: $0) } }
    }

    /// The address of IPv4 or IPv6; nil for a Unix socket.
    public var ip: IPAddress? {
        withUnsafeBytes(of: storage) { bytes in
            switch family {
            case AF_INET: IPv4Address(bytes: bytes[4..<8]).map(IPAddress.v4)
            case AF_INET6: IPv6Address(bytes: bytes[8..<24]).map(IPAddress.v6)
            default: nil
            }
        }
    }

    /// The address without the port, with the link where it is of one alone: `fe80::1%eth0`.
    public var text: String {
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let code = withSockaddr { getnameinfo($0, $1, &host, socklen_t(host.count), nil, 0, NI_NUMERICHOST) }
        return code == 0 ? String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) : "?"
    }

    public func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }
}

/// Why a name has no addresses, in the words of gai_strerror(3).
public struct LookUpFailure: Error, Sendable {
    public let reason: String

    public init(reason: String) { self.reason = reason }
}

/// Looks a name up with getaddrinfo(3), which blocks, for many seconds at worst, and cannot be interrupted.
/// - Returns: IPv4 and IPv6, in the order in which the host prefers them (RFC 6724); one at least.
public func addresses(
    of name: String, port: Port? = nil, isDatagram: Bool = false, flags: Int32 = 0
) throws(LookUpFailure) -> [SocketAddress] {
    var hints = addrinfo()
    hints.ai_socktype = Int32((isDatagram ? SOCK_DGRAM : SOCK_STREAM).rawValue)
    hints.ai_flags = flags | AI_NUMERICSERV
    var list: UnsafeMutablePointer<addrinfo>?
    let result = getaddrinfo(name, port.map { "\($0)" } ?? "0", &hints, &list)
    let code = errno
    guard result == 0 else {
        throw LookUpFailure(reason: result == EAI_SYSTEM ? errnoText(code) : String(cString: gai_strerror(result)))
    }
    defer { freeaddrinfo(list) }
    var found: [SocketAddress] = []
    var next = list
    while let info = next?.pointee {
        if let address = SocketAddress(info) { found.append(address) }
        next = info.ai_next
    }
    guard !found.isEmpty else { throw LookUpFailure(reason: "it has no IPv4 or IPv6 address") }
    return found
}
