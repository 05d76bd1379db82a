import EdgeAPI
import NetworkTypes

/// Who holds which port and name so far; the first to ask gets it.
struct Claims {
    private struct Socket: Hashable {
        var `protocol`: TransportProtocol
        var port: Port
    }

    private var names: [String: BindingID] = [:]
    /// Sockets that one binding has alone.
    private var whole: [Socket: BindingID] = [:]
    /// Those that several share by hostname.
    private var shared: [Socket: HostnameClaims] = [:]
    private let tunnelPort: Port
    private let link: (port: Port, hostname: String)?
    private let wildcardBases: Set<Substring>

    /// - Parameter link: the port of links and their name there; nil where there are none.
    /// - Parameter hostnames: all those that will be asked for.
    init(tunnelPort: Port, link: (port: Port, hostname: String)? = nil, hostnames: some Sequence<String>) {
        self.tunnelPort = tunnelPort
        self.link = link
        wildcardBases = Set(hostnames.lazy.filter { $0.hasPrefix("*.") }.map { $0.dropFirst(2) })
    }

    /// Takes what `binding` wants.
    /// - Returns: why it cannot have it, and then nothing was taken.
    mutating func take(_ binding: Binding, id: BindingID) -> Exclusion? {
        if let reserved = reservation(of: binding.listenPort, binding.protocol) {
            return Exclusion(
                binding: id, reason: .portConflict,
                message: "listenPort \(binding.listenPort) is reserved for \(reserved); choose another")
        }
        if let link, binding.protocol == .tcp, binding.listenPort == link.port {
            if binding.tls == nil {
                return Exclusion(
                    binding: id, reason: .portConflict,
                    message:
                        "TCP listenPort \(link.port) is the links' (spec.tunnel.link.listenPort), which only bindings with TLS can "
                        + "share; choose another for one of them")
            }
            if let name = binding.tls?.hostnames.first(where: { covers($0, link.hostname) }) {
                return Exclusion(
                    binding: id, reason: .portConflict,
                    message: "hostname \(name) on TCP listenPort \(link.port) overlaps \(link.hostname), the links' own there "
                        + "(spec.tunnel.link.hostname); change one of them")
            }
        }
        if let other = names[binding.name] {
            return Exclusion(
                binding: id, other: other, reason: .portConflict,
                message:
                    "the name \(binding.name) is taken on this EdgeNode by binding \(other), which is older; rename one of them")
        }
        let socket = Socket(protocol: binding.protocol, port: binding.listenPort)
        let hostnames = binding.tls?.hostnames ?? []
        if let conflict = takeSocket(socket, hostnames: hostnames, id: id) { return conflict }
        names[binding.name] = id
        return nil
    }

    /// Whether the name, which may be a wildcard, takes connections for `hostname`.
    private func covers(_ name: String, _ hostname: String) -> Bool {
        name == hostname || name.hasPrefix("*.") && hostname.hasSuffix(name.dropFirst())
    }

    private func reservation(of port: Port, _ transport: TransportProtocol) -> String? {
        switch port {
        case .uplinkReadiness: "the uplinks' readiness"
        case .envoyBridge: "the bridge to Envoy's statistics"
        // WireGuard is UDP: the TCP port of that number is another socket.
        case tunnelPort where transport == .udp: "the tunnel (spec.tunnel.listenPort)"
        default: nil
        }
    }

    private mutating func takeSocket(_ socket: Socket, hostnames: [String], id: BindingID) -> Exclusion? {
        let place = "\(socket.protocol) listenPort \(socket.port)"
        if let other = whole[socket] {
            return Exclusion(
                binding: id, other: other, reason: .portConflict,
                message: "\(place) is taken by binding \(other), which is older; "
                    + "use another port, or give both tls.hostnames to share it")
        }
        if hostnames.isEmpty {
            if let first = shared[socket]?.first {
                return Exclusion(
                    binding: id, other: first, reason: .portConflict,
                    message:
                        "\(place) is shared by hostname, first by binding \(first); give this one tls.hostnames or another port")
            }
            whole[socket] = id
            return nil
        }
        if let (name, other, theirs) = shared[socket]?.overlap(hostnames) {
            return Exclusion(
                binding: id, other: other, reason: .portConflict,
                message: "hostname \(name) overlaps \(theirs) of binding \(other) on \(place), which is older; "
                    + "hostnames on one port must not overlap")
        }
        // Changed in place: a copy for each binding would make planning quadratic.
        shared[socket, default: HostnameClaims(first: id, wildcardBases: wildcardBases)].insert(hostnames, id: id)
        return nil
    }
}

/// The SNI names taken on one port, wildcards too.
struct HostnameClaims {
    /// The binding that shared the port first.
    let first: BindingID
    /// Names without wildcard.
    private var exact: [String: BindingID] = [:]
    /// `*.example.com` by `example.com`.
    private var wildcards: [Substring: BindingID] = [:]
    /// Of the bases of wildcards that may come, those that some taken name lies under, with one such name. Of all suffixes of all names a
    /// megabyte of names has a hundred.
    private var under: [Substring: (name: String, id: BindingID)] = [:]
    private let wildcardBases: Set<Substring>

    init(first: BindingID, wildcardBases: Set<Substring>) {
        self.first = first
        self.wildcardBases = wildcardBases
    }

    /// The first of `names` that a taken name overlaps, with the taker and the taken name.
    func overlap(_ names: [String]) -> (name: String, other: BindingID, theirs: String)? {
        for name in names {
            let base = wildcardBase(name)
            if let base {
                if let other = wildcards[base] { return (name, other, name) }
                if let (theirs, other) = under[base] { return (name, other, theirs) }
            } else if let other = exact[name] {
                return (name, other, name)
            }
            for suffix in properSuffixes(base ?? name[...]) {
                if let other = wildcards[suffix] { return (name, other, "*." + suffix) }
            }
        }
        return nil
    }

    mutating func insert(_ names: [String], id: BindingID) {
        for name in names {
            let base = wildcardBase(name)
            if let base { wildcards[base] = id } else { exact[name] = id }
            for suffix in properSuffixes(base ?? name[...]) where wildcardBases.contains(suffix) && under[suffix] == nil {
                under[suffix] = (name, id)
            }
        }
    }

    /// `example.com` of `*.example.com`; nil for a name without wildcard.
    private func wildcardBase(_ name: String) -> Substring? { name.hasPrefix("*.") ? name.dropFirst(2) : nil }

    /// `b.c` and `c` of `a.b.c`.
    private func properSuffixes(_ name: Substring) -> some Sequence<Substring> {
        sequence(state: name) { rest in
            guard let dot = rest.firstIndex(of: ".") else { return nil }
            rest = rest[rest.index(after: dot)...]
            return rest
        }
    }
}
