import EdgeAPI
import Fixtures
import NetworkTypes
import NodeDocument
import Planning
import Testing

/// What holds for any bindings, however they clash.
@Suite struct PlanPropertyTests {
    private func randomBinding(_ number: Int, _ random: inout SeededRandom) throws -> Binding {
        // Few names, ports and hosts, so that every kind of clash happens often.
        let name = Int.random(in: 0..<6, using: &random) == 0 ? "shared\(Int.random(in: 0..<4, using: &random))" : "b\(number)"
        let port = [1, 2, 3, 443, 444, 20100, 33333, 40500, 40600, 51821].randomElement(using: &random) ?? 1
        let target: Target =
            switch Int.random(in: 0..<4, using: &random) {
            case 0: .service(NamespacedReference(name: "missing"), port: try Port(80))
            case 1: .service(NamespacedReference(name: "web"), port: try Port(80))
            default: try address("10.0.0.9", 9000)
            }
        let hosts = ["a.x", "b.x", "*.x", "x", "c.b.x", "*.b.x", "d.y", "*.y", "y"]
        switch Int.random(in: 0..<4, using: &random) {
        case 0: return try udp(name, port, to: target)
        case 1: return try tcp(name, port, to: target)
        default:
            let chosen = Array(hosts.shuffled(using: &random).prefix(Int.random(in: 0...2, using: &random)))
            return try tcp(name, port, to: target, TCPOptions(tls: TLSOptions(mode: .passthrough, hostnames: chosen)))
        }
    }

    private func randomInput(_ random: inout SeededRandom) throws -> PlanInput {
        var number = 0
        var portBindings: [PortBinding] = []
        for index in 0..<Int.random(in: 0..<8, using: &random) {
            var bindings: [Binding] = []
            for _ in 0..<Int.random(in: 1..<6, using: &random) {
                number += 1
                let binding = try randomBinding(number, &random)
                // The API refuses equal names within one PortBinding.
                if !bindings.contains(where: { $0.name == binding.name }) { bindings.append(binding) }
            }
            portBindings.append(portBinding("p\(index)", second: Int.random(in: 0..<3, using: &random), bindings))
        }
        let web = try service("web", clusterIP: "10.96.0.1", [ServicePort(port: try Port(80))])
        return try planInput(edgeNode(replicas: 2), portBindings, services: [web])
    }

    @Test func everyBindingIsPlannedOnceOrInConflictOnce() throws {
        var random = SeededRandom(seed: 21)
        var planned = 0
        var reasons: Set<BindingStatus.Reason> = []
        for _ in 0..<150 {
            let input = try randomInput(&random)
            let plan = makePlan(input)
            let all = input.portBindings.flatMap { owner in
                owner.spec.bindings.map { BindingID(owner: owner.metadata.objectName, name: $0.name) }
            }
            #expect((plan.planned.map(\.id) + plan.exclusions.map(\.binding)).sorted() == all.sorted())
            planned += plan.planned.count
            reasons.formUnion(plan.exclusions.map(\.reason))
            try expectSound(plan)
        }
        // The generator makes both, and more than one kind.
        #expect(planned > 200)
        #expect(reasons == [.portConflict, .targetNotFound])
    }

    private func expectSound(_ plan: Plan) throws {
        let content = plan.uplinkContent(relayPublicKey: try publicKey(9))
        let sockets = content.forwards.map { "\($0.protocol) \($0.tunnelPort)" }
        #expect(Set(sockets).count == sockets.count)
        #expect(!content.forwards.contains { $0.tunnelPort == .uplinkReadiness || $0.tunnelPort == .envoyBridge })
        #expect(content.forwards.map(\.binding).sorted() == plan.planned.map(\.id.name))
        let names = plan.planned.map(\.id.name)
        #expect(Set(names).count == names.count)
        let listeners = plan.relay.listeners
        #expect(Set(listeners.map(\.name)).count == listeners.count)
        #expect(listeners.flatMap(\.bindings).sorted() == names)
        #expect(plan.relay.envoy.bindings.map(\.name).sorted() == names)
        // The listeners that the statuses are told from are those of Envoy.
        #expect(Set(plan.planned.map(\.listener)) == Set(listeners.map(\.name)).subtracting(["bridge"]))
        // Whoever beat another is there itself, or keeps its place while its target is away.
        let known = Set(plan.planned.map(\.id)).union(plan.exclusions.filter { $0.reason != .portConflict }.map(\.binding))
        #expect(plan.exclusions.compactMap(\.other).allSatisfy(known.contains))
    }

    @Test func isTheSameInAnyOrderOfPortBindings() throws {
        var random = SeededRandom(seed: 22)
        for _ in 0..<40 {
            var input = try randomInput(&random)
            let plan = makePlan(input)
            input.portBindings.shuffle(using: &random)
            let again = makePlan(input)
            #expect(again.planned == plan.planned)
            #expect(again.exclusions == plan.exclusions)
            #expect(try again.relay.digest() == plan.relay.digest())
        }
    }

    /// Taking the losers away changes nothing for the winners.
    @Test func aConflictCostsOnlyTheBindingsInIt() throws {
        var random = SeededRandom(seed: 23)
        for _ in 0..<40 {
            var input = try randomInput(&random)
            let plan = makePlan(input)
            let losers = Set(plan.exclusions.map(\.binding))
            for index in input.portBindings.indices {
                let owner = input.portBindings[index].metadata.objectName
                input.portBindings[index].spec.bindings.removeAll { losers.contains(BindingID(owner: owner, name: $0.name)) }
            }
            let again = makePlan(input)
            #expect(again.exclusions.isEmpty)
            #expect(again.planned == plan.planned)
            #expect(try again.relay.digest() == plan.relay.digest())
        }
    }
}
