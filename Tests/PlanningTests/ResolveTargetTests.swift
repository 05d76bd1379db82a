import EdgeAPI
import Fixtures
import NetworkTypes
import NodeDocument
import Testing

@testable import Planning

/// What a Service stands for: its cluster IP, its endpoints, or a sentence.
@Suite struct ResolveTargetTests {
    private static let name = ObjectName(namespace: "default", name: "app")

    private func plan(
        _ service: Service, _ port: ServicePortReference, _ resolution: ServiceResolution, slices: [EndpointSlice]? = nil,
        udp: Bool = false
    ) throws -> Plan {
        let target = Target.service(NamespacedReference(name: "app"), port: port, resolve: resolution)
        let binding = udp ? try Fixtures.udp("b", 80, to: target) : try tcp("b", 80, to: target)
        var input = try planInput(edgeNode(), [portBinding("p", [binding])], services: [service])
        if let slices { input.slices = [Self.name: slices] }
        return makePlan(input)
    }

    private func app(_ clusterIP: String?, _ ports: [ServicePort], absence: Service.Absence = .notGiven) throws -> Service {
        var service = try service("app", clusterIP: clusterIP, ports)
        service.absence = absence
        return service
    }

    private func slice(_ addresses: [String], _ ports: [ServicePort]) throws -> EndpointSlice {
        EndpointSlice(service: Self.name, ready: try addresses.map { try IPv4Address(parsing: $0) }, ports: ports)
    }

    @Test func aPortIsFoundByItsName() throws {
        let service = try app(
            "10.96.0.20",
            [
                ServicePort(name: "http", port: try Port(80)), ServicePort(name: "dns", protocol: .udp, port: try Port(53)),
                ServicePort(name: "dns", port: try Port(54)),
            ])
        #expect(try plan(service, .name("http"), .clusterIP).planned.first?.targetText == "10.96.0.20:80")
        #expect(try plan(service, .name("dns"), .clusterIP).planned.first?.targetText == "10.96.0.20:54")
        #expect(try plan(service, .name("dns"), .clusterIP, udp: true).planned.first?.targetText == "10.96.0.20:53")
        #expect(
            try plan(service, .name("https"), .clusterIP).exclusions.first?.message
                == "Service default/app has no port https/TCP; it has http 80/TCP, dns 53/UDP, dns 54/TCP")
    }

    @Test func endpointsAreThoseOfThePort() throws {
        let service = try app(
            nil, [ServicePort(name: "http", port: try Port(80)), ServicePort(name: "admin", port: try Port(81))],
            absence: .headless)
        let http = ServicePort(name: "http", port: try Port(8080))
        let slices = [
            try slice(["10.244.1.7", "10.244.0.3"], [http, ServicePort(name: "admin", port: try Port(9000))]),
            // Pods of another kind may have the port elsewhere.
            try slice(["10.244.2.1", "10.244.1.7"], [ServicePort(name: "http", port: try Port(8081))]),
            try slice(["10.244.9.9"], [ServicePort(name: "http", protocol: .udp, port: try Port(8080))]),
        ]
        let plan = try plan(service, .number(try Port(80)), .endpoints, slices: slices)
        #expect(plan.exclusions == [])
        #expect(plan.planned.first?.targetText == "10.244.0.3:8080 and 3 more")
        let forward = try #require(plan.uplinkContent(relayPublicKey: try publicKey(9)).forwards.first)
        #expect(
            forward.targets.map(\.description) == ["10.244.0.3:8080", "10.244.1.7:8080", "10.244.1.7:8081", "10.244.2.1:8081"])
        #expect("\(forward.target):\(forward.targetPort)" == "10.244.0.3:8080", "for an uplink of a former release")
        let other = try self.plan(service, .name("admin"), .endpoints, slices: slices)
        #expect(other.planned.first?.targets.map(\.description) == ["10.244.0.3:9000", "10.244.1.7:9000"])
    }

    /// A port of a Service that has one alone needs no name.
    @Test func aPortWithoutNameHasEndpointsToo() throws {
        let service = try app("10.96.0.20", [ServicePort(port: try Port(80))])
        let plan = try plan(
            service, .number(try Port(80)), .endpoints, slices: [slice(["10.0.0.5"], [ServicePort(port: try Port(8080))])])
        #expect(plan.planned.first?.targetText == "10.0.0.5:8080")
        #expect(plan.uplinkContent(relayPublicKey: try publicKey(9)).forwards.first?.endpoints == nil, "one is a target")
    }

    /// While all pods are away the port stays open: its connections are not cut, and the uplinks are told of no target.
    @Test func aServiceWithoutEndpointsStaysPlanned() throws {
        let service = try app(nil, [ServicePort(port: try Port(80))], absence: .headless)
        let plan = try plan(service, .number(try Port(80)), .endpoints, slices: [])
        #expect(plan.planned.map(\.targets) == [[]] && plan.exclusions == [])
        #expect(plan.relay.listeners.map(\.name).contains("tcp-80"))
        #expect(plan.uplinkContent(relayPublicKey: try publicKey(9)).forwards == [])
    }

    @Test func anExternalNameIsLookedUpByTheUplink() throws {
        for ports in [[], [ServicePort(port: try Port(443))]] {
            let plan = try plan(app(nil, ports, absence: .external("nas.lan.")), .number(try Port(443)), .clusterIP)
            #expect(plan.planned.map(\.targetText) == ["nas.lan:443"])
            let forward = try #require(plan.uplinkContent(relayPublicKey: try publicKey(9)).forwards.first)
            #expect(forward.host == .name("nas.lan") && forward.targetPort.number == 443 && forward.targets == [])
            #expect(try Forward(line: forward.line) == forward)
        }
        let other = try plan(
            app(nil, [ServicePort(port: try Port(443))], absence: .external("nas.lan")), .number(try Port(80)), .clusterIP)
        #expect(other.exclusions.first?.message.contains("has no port 80/TCP") == true)
    }

    @Test func hostsAreJudgedByThePolicy() throws {
        func refusal(_ host: String, _ policy: TargetPolicy = TargetPolicy()) throws -> String? {
            let target = Target.host(try HostAddress(parsing: host), port: try Port(80))
            var input = try planInput(edgeNode(), [portBinding("web", [try tcp("web", 80, to: target)])])
            input.targets = policy
            return makePlan(input).exclusions.first?.message
        }
        let nodes = TargetPolicy(denied: [try CIDR(parsing: "10.0.0.0/8")])
        #expect(try refusal("nas.lan") == nil)
        #expect(try refusal("nas.lan", nodes) == nil, "the uplink judges what it leads to")
        #expect(try refusal("2001:db8::1") == nil)
        #expect(try refusal("2001:db8::1", nodes)?.contains("--deny-target-cidrs") == true)
        #expect(try refusal("::ffff:169.254.169.254")?.contains("link-local") == true)
        #expect(try refusal("64:ff9b::a9fe:a9fe")?.contains("link-local") == true)
        #expect(try refusal("2002:7f00:1::1")?.contains("loopback") == true)
    }

    /// Endpoints that come and go change nothing on the VPS.
    @Test func theRelayKnowsNothingOfEndpoints() throws {
        let service = try app(nil, [ServicePort(port: try Port(80))], absence: .headless)
        let ports = [ServicePort(port: try Port(8080))]
        let one = try plan(service, .number(try Port(80)), .endpoints, slices: [slice(["10.0.0.5"], ports)])
        let two = try plan(service, .number(try Port(80)), .endpoints, slices: [slice(["10.0.0.6", "10.0.0.7"], ports)])
        #expect(try one.relay.digest() == two.relay.digest())
        #expect(try #require(one.planned.first).isSameOnEdge(as: try #require(two.planned.first)))
    }

    @Test func ofTooManyAlwaysTheSameAreTaken() throws {
        let service = try app(nil, [ServicePort(port: try Port(80))], absence: .headless)
        let ports = [ServicePort(port: try Port(8080))]
        let addresses = (0..<200).map { "10.244.\($0 / 100).\($0 % 100 + 1)" }
        let all = try plan(service, .number(try Port(80)), .endpoints, slices: [slice(addresses, ports)])
        let fewer = try plan(service, .number(try Port(80)), .endpoints, slices: [slice(Array(addresses.dropFirst(20)), ports)])
        let (a, b) = (Set(all.planned[0].targets), Set(fewer.planned[0].targets))
        #expect(a.count == 32 && b.count == 32 && all.planned[0].targets == all.planned[0].targets.sorted())
        #expect(a.intersection(b).count > 24, "one that goes is followed by one other")
    }

    static let absences: [(Service.Absence, ServiceResolution, String)] = [
        (.headless, .clusterIP, "is headless: it has no cluster IP; set target.service.resolve: Endpoints"),
        (.external("a_b"), .clusterIP, "is of type ExternalName (a_b), which has no endpoints"),
        (
            .external("nas.lan"), .endpoints,
            "is of type ExternalName (nas.lan), which has no endpoints; leave target.service.resolve out"
        ),
        (.onlyIPv6, .clusterIP, "has cluster IPs of IPv6 alone, and the tunnel is IPv4"),
        (.notGiven, .clusterIP, "has no spec.clusterIP: a cluster gives it one, and a manifest from git lacks it"),
        (.headless, .endpoints, "the endpoints of Service default/app are not at hand: only a cluster knows them"),
    ]

    @Test(arguments: absences.indices) func whatHasNoAddressSaysWhatToDo(index: Int) throws {
        let (absence, resolution, words) = Self.absences[index]
        let plan = try plan(app(nil, [ServicePort(port: try Port(443))], absence: absence), .number(try Port(443)), resolution)
        #expect(plan.exclusions.map(\.reason) == [.targetNotFound])
        #expect(plan.exclusions.first?.message.contains(words) == true, "\(plan.exclusions)")
    }
}
