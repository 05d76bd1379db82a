import EdgeAPI
import Fixtures
import NetworkTypes
import NodeDocument
import Planning

/// A node's bindings of every kind, as a busy installation might have them: of ten, five TCP, two UDP, two of TLS that share port
/// 443 by hostname, and one that ends TLS at the edge. Every second one leads to a Service.
func mixedInput(bindings count: Int, node: String = "edge") throws -> PlanInput {
    let secret = NamespacedReference(name: "web-tls")
    let throughService = Target.service(NamespacedReference(name: "web"), port: try Port(80))
    let bindings = try (0..<count).map { number in
        let name = "b\(number)"
        let target = try number % 2 == 0 ? throughService : address("10.0.\(number / 256 % 256).\(number % 256)", 8080)
        let port = 1000 + number
        switch number % 10 {
        case 0...4: return try tcp(name, port, to: target)
        case 5, 6:
            return Binding(
                name: name, listenPort: try Port(port), target: number % 2 == 0 ? try address("10.1.0.1", 53) : target,
                transport: .udp(UDPOptions()))
        case 7, 8:
            return try tcp(
                name, 443, to: target, TCPOptions(tls: TLSOptions(mode: .passthrough, hostnames: ["h\(number).example.com"])))
        default:
            return try tcp(
                name, 443, to: target,
                TCPOptions(tls: TLSOptions(mode: .offload(secret), hostnames: ["*.o\(number).example.com"])))
        }
    }
    let web = try service(
        "web", clusterIP: "10.96.0.1", [ServicePort(port: Port(80)), ServicePort(protocol: .udp, port: Port(80))])
    // PortBindings of ten, as people write them.
    let owners = stride(from: 0, to: count, by: 10).map { first in
        portBinding("p\(first)", of: node, second: first % 60, Array(bindings[first..<min(first + 10, count)]))
    }
    let material = TLSMaterial(
        certificateChain: String(repeating: "c", count: 1500), privateKey: String(repeating: "k", count: 300))
    return try planInput(
        edgeNode(node, replicas: 2), owners, services: [web],
        certificates: [ObjectName(namespace: "default", name: "web-tls"): .usable(material)])
}
