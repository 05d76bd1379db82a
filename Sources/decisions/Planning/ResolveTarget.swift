import EdgeAPI
import NetworkTypes
import NodeDocument

/// What a binding leads to, or why to nothing.
struct ResolvedTarget {
    /// One, or the ready endpoints of a Service, sorted; empty while it has none.
    var endpoints: [Endpoint]
    /// Whether they are a Service's endpoints, which come and go.
    var isSpread = false
    /// In their place: a name, or an IPv6 address, which the uplink dials itself.
    var host: TargetHost?

    init(endpoints: [Endpoint], isSpread: Bool = false) {
        self.endpoints = endpoints
        self.isSpread = isSpread
    }

    init(host: HostAddress, port: Port) {
        endpoints = []
        self.host = TargetHost(host: host, port: port)
    }
}

struct TargetProblem: Error {
    var message: String
}

extension PlanInput {
    /// Endpoints that one binding leads to at most, and all of an EdgeNode together: each has a place in the uplinks' document.
    static let mostEndpoints = 32
    static let mostEndpointsOfNode = 8000

    /// - Parameter most: endpoints to lead to.
    func resolve(_ binding: Binding, of owner: ObjectMeta, most: Int) throws(TargetProblem) -> ResolvedTarget {
        switch binding.target {
        case .address(let address, let port): return ResolvedTarget(endpoints: [Endpoint(address: address, port: port)])
        case .host(let host, let port): return ResolvedTarget(host: host, port: port)
        case .service(let reference, let port, let resolution):
            let name = reference.objectName(in: owner)
            if let refusal = refusedReferences[NamedFrom(owner.namespace, Service.kind, name)] {
                throw TargetProblem(message: refusal)
            }
            guard let service = services[name] else {
                throw TargetProblem(
                    message: "Service \(name) does not exist; create it or correct target.service")
            }
            switch resolution {
            case .clusterIP:
                if let host = service.externalHost { return try service.external(host, port, binding.protocol, of: name) }
                guard let address = service.clusterIP else { throw TargetProblem(message: service.absenceInWords(name)) }
                let found = try service.port(port, binding.protocol, of: name)
                return ResolvedTarget(endpoints: [Endpoint(address: address, port: found.port)])
            case .endpoints:
                if case .external = service.absence { throw TargetProblem(message: service.absenceInWords(name)) }
                let found = try service.port(port, binding.protocol, of: name)
                guard let slices = slices[name] else {
                    throw TargetProblem(
                        message: refusedReferences[NamedFrom(owner.namespace, EndpointSlice.kind, name)]
                            ?? "the endpoints of Service \(name) are not at hand: only a cluster knows them")
                }
                return ResolvedTarget(endpoints: some(of: slices, found, most: most), isSpread: true)
            }
        }
    }

    /// The endpoints of the port, sorted; where there are too many always the same ones of them, whichever others come and go.
    private func some(of slices: [EndpointSlice], _ wanted: ServicePort, most: Int) -> [Endpoint] {
        var endpoints: Set<Endpoint> = []
        for slice in slices {
            for port in slice.ports where port.name == wanted.name && port.protocol == wanted.protocol {
                for address in slice.ready { endpoints.insert(Endpoint(address: address, port: port.port)) }
            }
        }
        if endpoints.count <= most { return endpoints.sorted() }
        let drawn = endpoints.map { (stableHash("\($0)"), $0) }.sorted { $0 < $1 }.prefix(most)
        return drawn.map { $0.1 }.sorted()
    }

    /// The most that each binding may have so that all together are not too many.
    func endpointShare(_ bindings: some Sequence<Binding>) -> Int {
        let count = bindings.count { if case .service(_, _, .endpoints) = $0.target { true } else { false } }
        return max(1, min(Self.mostEndpoints, Self.mostEndpointsOfNode / max(1, count)))
    }
}

extension Service {
    /// Of type ExternalName; nil for others, and where the name is none.
    fileprivate var externalHost: HostAddress? {
        if case .external(let host) = absence { HostAddress(host.hasSuffix(".") ? String(host.dropLast()) : host) } else { nil }
    }

    /// Such a Service need not list its ports: a number stands for itself then.
    fileprivate func external(
        _ host: HostAddress, _ reference: ServicePortReference, _ transport: TransportProtocol, of name: ObjectName
    ) throws(TargetProblem) -> ResolvedTarget {
        if ports.isEmpty, case .number(let port) = reference { return ResolvedTarget(host: host, port: port) }
        return ResolvedTarget(host: host, port: try port(reference, transport, of: name).port)
    }

    fileprivate func port(
        _ reference: ServicePortReference, _ transport: TransportProtocol, of name: ObjectName
    ) throws(TargetProblem) -> ServicePort {
        let found = ports.first { port in
            guard port.protocol == transport else { return false }
            return switch reference {
            case .number(let number): port.port == number
            case .name(let name): port.name == name
            }
        }
        if let found { return found }
        let known = ports.map { "\($0.name.map { "\($0) " } ?? "")\($0.port)/\($0.protocol)" }.joined(separator: ", ")
        throw TargetProblem(
            message: "Service \(name) has no port \(reference)/\(transport); it has \(known.isEmpty ? "none" : known)")
    }

    /// Why it has no cluster IP, and what to do.
    fileprivate func absenceInWords(_ name: ObjectName) -> String {
        switch absence {
        case .headless:
            "Service \(name) is headless: it has no cluster IP; set target.service.resolve: Endpoints, which leads to its ready pods"
        case .external(let host):
            "Service \(name) is of type ExternalName\(host.isEmpty ? "" : " (\(printable(host)))"), which has no endpoints; leave "
                + "target.service.resolve out, and give it a spec.externalName that is a DNS name"
        case .onlyIPv6:
            "Service \(name) has cluster IPs of IPv6 alone, and the tunnel is IPv4; give it ipFamilyPolicy: PreferDualStack, or use "
                + "target.address with an IPv4 address"
        case .notGiven:
            "Service \(name) has no spec.clusterIP: a cluster gives it one, and a manifest from git lacks it; where there is no cluster, "
                + "write target.address with the IPv4 address, or spec.clusterIP into the Service"
        }
    }
}
