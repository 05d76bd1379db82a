import Documents
import EdgeAPI
import EnvoyConfig
import Fixtures
import Foundation
import JSON
import NetworkTypes
import NodeDocument
import Planning
import Testing

/// The planner before the real Envoy: whatever bindings the API takes, clashing or not, at the ends of every range.
@Suite struct PlannedTests {
    @Test func envoyAcceptsWhateverIsPlanned() throws {
        let stage = try Stage()
        defer { stage.remove() }
        let folder = try CertificateFolder(in: stage)
        var material = try folder.make("served", commonName: "served.test")
        material.certificateAuthority = try folder.make("client", commonName: "client").certificateChain
        var random = SeededRandom(seed: 40)
        var planned = 0
        var exclusions = 0
        for round in 0..<30 {
            let input = try PlannedInputs.input(material, &random)
            let plan = makePlan(input)
            planned += plan.planned.count
            exclusions += plan.exclusions.count
            expectEachPlannedOrNamed(plan, input)
            expectSockets(plan)
            try expectTheSameAgain(plan, input, &random)
            let configuration = EnvoyConfiguration(plan.relay)
            // Certificates are files, which the bootstrap names by path.
            try stage.write(configuration, to: "config")
            let host = round.isMultiple(of: 2) ? Stage.host : EnvoyHost(hasIPv6: false, memoryBytes: 1 << 28)
            let validation = configuration.validationBootstrap(
                on: host, listeners: configuration.listeners, bindings: configuration.bindings)
            #expect(try stage.refusal(of: validation.json) == nil, "round \(round)")
            #expect(try stage.refusal(of: configuration.bootstrapFile(on: host).contents) == nil, "round \(round)")
        }
        // The generator makes both in plenty.
        #expect(planned > 200)
        #expect(exclusions > 200)
    }

    private func expectEachPlannedOrNamed(_ plan: Plan, _ input: PlanInput) {
        let all = input.portBindings.flatMap { owner in
            owner.spec.bindings.map { BindingID(owner: owner.metadata.objectName, name: $0.name) }
        }
        #expect((plan.planned.map(\.id) + plan.exclusions.map(\.binding)).sorted() == all.sorted())
        for conflict in plan.exclusions {
            // Whom it lost to, or what is missing, by name.
            let named = conflict.other.map { conflict.message.contains($0.description) }
            #expect(named ?? (conflict.message.contains("default/") || conflict.message.contains("reserved")), "\(conflict)")
        }
    }

    private func expectSockets(_ plan: Plan) {
        let sockets = plan.relay.listeners.map { "\($0.protocol) \($0.port)" }
        #expect(Set(sockets).count == sockets.count)
    }

    private func expectTheSameAgain(_ plan: Plan, _ input: PlanInput, _ random: inout SeededRandom) throws {
        var input = input
        #expect(try makePlan(input).relay.digest() == plan.relay.digest())
        input.portBindings.shuffle(using: &random)
        #expect(try makePlan(input).relay.digest() == plan.relay.digest())
    }
}

/// Objects that the API takes, from a fixed seed.
private enum PlannedInputs {
    static func input(_ material: TLSMaterial, _ random: inout SeededRandom) throws -> PlanInput {
        var node = try edgeNode(replicas: Int.random(in: 1...20, using: &random))
        node.spec.edge = try pick(
            [
                EdgeSpec(),
                EdgeSpec(
                    healthCheck: HealthCheckSpec(
                        interval: milliseconds(100), timeout: milliseconds(50), healthyThreshold: 1, unhealthyThreshold: 1),
                    maxConnections: 1, drainTimeout: .seconds(1)),
                EdgeSpec(
                    healthCheck: HealthCheckSpec(
                        interval: .seconds(3600), timeout: .seconds(600), healthyThreshold: 100, unhealthyThreshold: 100),
                    maxConnections: 1_000_000, drainTimeout: .seconds(86400)),
            ], &random)
        var portBindings: [PortBinding] = []
        for index in 0..<Int.random(in: 1...9, using: &random) {
            var bindings: [String: Binding] = [:]
            for _ in 0..<Int.random(in: 1...9, using: &random) {
                let binding = try binding(&random)
                bindings[binding.name] = binding
            }
            let sorted = bindings.values.sorted { $0.name < $1.name }
            portBindings.append(portBinding("p\(index)", second: Int.random(in: 0..<3, using: &random), sorted))
        }
        // Only what the API takes counts.
        let decodedNode = EdgeNode.decode(FieldNode(value: node.fieldValue))
        #expect(decodedNode.problems.isEmpty, "\(decodedNode.problems)")
        for object in portBindings {
            let decoded = PortBinding.decode(FieldNode(value: object.fieldValue))
            #expect(decoded.value == object, "\(decoded.problems)")
        }
        let services = [try service("web", clusterIP: "10.96.0.1", [ServicePort(port: try Port(80))])]
        return try planInput(
            node, portBindings, services: services,
            certificates: [ObjectName(namespace: "default", name: "tls"): .usable(material)])
    }

    private static func binding(_ random: inout SeededRandom) throws -> Binding {
        // Few of some, so that all kinds of clash happen, and many of others, so that not everything clashes.
        let number = Int.random(in: 0..<40_000, using: &random)
        let unique = "b\(number)"
        let name = try pick(["shared", String(repeating: "n", count: 63)] + Array(repeating: unique, count: 12), &random)
        let port = try pick([1, 53, 443, 443, 443, 443, 8443, 20100, 51821, 65535, 1000 + number, 1000 + number], &random)
        let target = try pick(
            [
                address("10.0.0.9", 9000), address("223.255.255.255", 65535),
                .service(NamespacedReference(name: "web"), port: Port(80)),
                .service(NamespacedReference(name: "missing"), port: Port(80)),
            ], &random)
        if Int.random(in: 0..<4, using: &random) == 0 {
            return try udp(
                name, port, to: target,
                UDPOptions(
                    sessionTimeout: pick([milliseconds(100), .seconds(60), .seconds(86400)], &random),
                    maxDatagramBytes: pick([1, 1500, 65507], &random)))
        }
        let options = TCPOptions(
            connectTimeout: try pick([milliseconds(100), .seconds(5), .seconds(600)], &random),
            idleTimeout: try pick([.seconds(0), milliseconds(100), .seconds(365 * 86400)], &random),
            proxyProtocol: try pick([nil, .v1, .v2], &random), tls: try tls(&random))
        return try tcp(name, port, to: target, options)
    }

    private static func tls(_ random: inout SeededRandom) throws -> TLSOptions? {
        guard Int.random(in: 0..<4, using: &random) > 0 else { return nil }
        let secret = NamespacedReference(name: try pick(["tls", "tls", "tls", "missing"], &random))
        let mode: TLSOptions.Mode = try pick([.passthrough, .offload(secret), .mutual(secret)], &random)
        let long = (0..<3).map { _ in String(repeating: "l", count: 63) }.joined(separator: ".")
        let names = [
            "a.x", "b.x", "*.x", "x", "*.b.x", "c.b.x", "*.y", "y", "1.y", "xn--bcher-kva.y", "\(long).z", "*.\(long).z",
        ]
        return TLSOptions(
            mode: mode, hostnames: Array(names.shuffled(using: &random).prefix(Int.random(in: 0...3, using: &random))))
    }

    private static func milliseconds(_ count: Int64) -> GoDuration { GoDuration(nanoseconds: count * 1_000_000) }

    private static func pick<Value>(_ values: [Value], _ random: inout SeededRandom) throws -> Value {
        try #require(values.randomElement(using: &random))
    }
}
