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

    init(tunnelPort: Port) { self.tunnelPort = tunnelPort }

    /// Takes what `binding` wants.
    /// - Returns: why it cannot have it, and then nothing was taken.
    mutating func take(_ binding: Binding, id: BindingID) -> Exclusion? {
        if let reserved = reservation(of: binding.listenPort, binding.protocol) {
            return Exclusion(
                binding: id, reason: .portConflict,
                message: "listenPort \(binding.listenPort) is reserved for \(reserved); choose another")
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
        shared[socket, default: HostnameClaims(first: id)].insert(hostnames, id: id)
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
    private var wildcards: [String: BindingID] = [:]
    /// Every proper suffix of every taken name, with one name that has it.
    private var suffixes: [String: (name: String, id: BindingID)] = [:]

    init(first: BindingID) { self.first = first }

    /// The first of `names` that a taken name overlaps, with the taker and the taken name.
    func overlap(_ names: [String]) -> (name: String, other: BindingID, theirs: String)? {
        for name in names {
            let base = name.hasPrefix("*.") ? String(name.dropFirst(2)) : nil
            if let base {
                if let other = wildcards[base] { return (name, other, name) }
                if let (theirs, other) = suffixes[base] { return (name, other, theirs) }
            } else if let other = exact[name] {
                return (name, other, name)
            }
            for suffix in properSuffixes(base ?? name) {
                if let other = wildcards[suffix] { return (name, other, "*." + suffix) }
            }
        }
        return nil
    }

    mutating func insert(_ names: [String], id: BindingID) {
        for name in names {
            let base = name.hasPrefix("*.") ? String(name.dropFirst(2)) : nil
            if let base {
                wildcards[base] = id
            } else {
                exact[name] = id
            }
            for suffix in properSuffixes(base ?? name) where suffixes[suffix] == nil { suffixes[suffix] = (name, id) }
        }
    }

    /// `b.c` and `c` of `a.b.c`.
    private func properSuffixes(_ name: String) -> [String] {
        var result: [String] = []
        var rest = name[...]
        while let dot = rest.firstIndex(of: ".") {
            rest = rest[rest.index(after: dot)...]
            result.append(String(rest))
        }
        return result
    }
}
