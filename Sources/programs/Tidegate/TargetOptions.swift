import ArgumentParser
import EdgeAPI
import ManifestStore
import NetworkTypes
import NodeDocument

/// Where bindings may lead.
struct TargetOptions: ParsableArguments {
    @Option(
        help: """
            Networks that no binding may lead to, separated by commas, such as the API server's and the nodes'; loopback, \
            link-local, multicast, the tunnel's network and the VPS itself never are targets.
            """)
    var denyTargetCidrs = ""

    @Option(help: "The only networks that bindings may lead to, separated by commas (default: all but those denied).")
    var allowTargetCidrs = ""

    func validate() throws { _ = try policy() }

    func policy() throws -> TargetPolicy {
        TargetPolicy(
            denied: try networks(denyTargetCidrs, "--deny-target-cidrs"),
            allowed: try networks(allowTargetCidrs, "--allow-target-cidrs"))
    }

    private func networks(_ list: String, _ flag: String) throws -> [CIDR] {
        try list.split(separator: ",").map { $0.filter { !$0.isWhitespace } }.filter { !$0.isEmpty }.map { item in
            do {
                return try item.contains("/") ? CIDR(parsing: item) : CIDR(IPv4Address(parsing: item))
            } catch {
                throw ValidationError("\(flag): \(error)")
            }
        }
    }
}

/// The bindings that lead where none may, by the index of their manifest: targets by address, and by a Service that is among them.
func targetProblems(_ manifests: [Manifest], policy: TargetPolicy) -> [(index: Int, message: String)] {
    var nodes: [ObjectName: EdgeNodeSpec] = [:]
    var services: [ObjectName: Service] = [:]
    for manifest in manifests {
        switch manifest {
        case .edgeNode(let node): nodes[node.metadata.objectName] = node.spec
        case .service(let service): services[service.metadata.objectName] = service
        default: break
        }
    }
    var problems: [(index: Int, message: String)] = []
    for (index, manifest) in manifests.enumerated() {
        guard case .portBinding(let portBinding) = manifest else { continue }
        let node = nodes[portBinding.edgeNodeName]
        for (number, binding) in portBinding.spec.bindings.enumerated() {
            let destination: (address: IPv4Address, port: Port)?
            switch binding.target {
            case .address(let address, let port): destination = (address, port)
            case .host(let host, let port):
                if let obstacle = policy.obstacle(to: host, binding.protocol, port, edge: node?.address) {
                    problems.append((index, "spec.bindings[\(number)].target: \(obstacle)"))
                }
                continue
            case .service(let reference, let wanted, _):
                let service = services[reference.objectName(in: portBinding.metadata)]
                let port = service?.ports.first {
                    switch wanted {
                    case .number(let number): $0.port == number
                    case .name(let name): $0.name == name
                    }
                }
                destination = service?.clusterIP.flatMap { address in port.map { (address, $0.port) } }
            }
            guard let destination,
                let obstacle = policy.obstacle(
                    to: destination.address, binding.protocol, destination.port, network: node?.tunnel.network,
                    edge: node?.address.ipv4)
            else { continue }
            problems.append((index, "spec.bindings[\(number)].target: \(obstacle)"))
        }
    }
    return problems
}
