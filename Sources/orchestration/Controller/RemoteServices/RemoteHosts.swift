import EdgeAPI
import RemoteWorkload

/// Which host each RemoteService has: of two that want one, whoever had it first.
struct RemoteHosts {
    struct Choice: Equatable {
        var host: String
        /// Who has it; nil where it is to be had.
        var holder: ObjectName?
    }

    private let services: [RemoteService]

    init(_ services: [RemoteService]) { self.services = services }

    /// Nil where it names none and there is no wildcard domain.
    func host(of service: RemoteService, below domain: String?) -> Choice? {
        guard case .ingress(let ingress) = service.spec.gateway.entrance else { return nil }
        if let host = ingress.host { return Choice(host: host, holder: holder(of: host, but: service, below: domain)) }
        guard let domain else { return nil }
        let candidates = RemoteNames(of: service.metadata.objectName).hosts(below: domain)
        let free = candidates.filter { holder(of: $0, but: service, below: domain) == nil }
        // What it has it keeps.
        if let present = service.status?.host, free.contains(present) { return Choice(host: present) }
        if let first = free.first { return Choice(host: first) }
        return candidates.last.map { Choice(host: $0, holder: holder(of: $0, but: service, below: domain)) }
    }

    /// Another that has the host, or wants it and is older.
    private func holder(of host: String, but service: RemoteService, below domain: String?) -> ObjectName? {
        func has(_ one: RemoteService) -> Bool { one.status?.host == host }
        return services.first { other in
            guard other.metadata.objectName != service.metadata.objectName,
                case .ingress(let ingress) = other.spec.gateway.entrance
            else { return false }
            let wanted =
                ingress.host ?? other.status?.host
                ?? domain.map { RemoteNames(of: other.metadata.objectName).plainHost(below: $0) }
            guard wanted == host || has(other) else { return false }
            if has(other) != has(service) { return has(other) }
            return (other.metadata.creationTimestamp, other.metadata.objectName.description)
                < (service.metadata.creationTimestamp, service.metadata.objectName.description)
        }?.metadata.objectName
    }
}
