import EdgeAPI
import Fixtures
import NetworkTypes
import NodeDocument
import Testing

@testable import Planning

@Suite struct TunnelPortTests {
    private func ports(_ portBindings: [PortBinding]) throws -> [String: Port] {
        let plan = makePlan(try planInput(edgeNode(), portBindings))
        #expect(plan.exclusions == [])
        return Dictionary(plan.planned.map { ($0.id.name, $0.tunnelPort) }, uniquingKeysWith: { $1 })
    }

    private func named(_ number: Int) throws -> Binding { try tls("b\(number)", 443, ["h\(number).example.com"]) }

    @Test func stayWhenNeighboursComeAndGo() throws {
        let all = try (0..<200).map { portBinding("p\($0)", second: $0 % 60, [try named($0)]) }
        let before = try ports(all)
        // The older of two keeps its port whoever comes; so take away the youngest.
        let older = all.filter { $0.metadata.creationTimestamp < "2026-11-21T10:00:30Z" }
        let after = try ports(older)
        #expect(after.count == 110)
        for (name, port) in after { #expect(before[name] == port) }
    }

    @Test func areInTheirRangeAndUnique() throws {
        let ports = try ports([portBinding("p", (0..<500).map { try named($0) })])
        #expect(ports.values.allSatisfy { (20000..<60000).contains(Int($0.number)) })
        #expect(Set(ports.values).count == 500)
    }

    @Test func areTheListenPortOfWhoeverHasItAlone() throws {
        let ports = try ports([portBinding("p", [try tcp("t", 25565), try udp("u", 25565), try tls("s", 443)])])
        #expect(ports == ["t": try Port(25565), "u": try Port(25565), "s": try Port(443)])
    }

    /// A hashed port gives way to a listenPort of the same number and protocol, and to the reserved ones.
    @Test func giveWayToListenPorts() throws {
        let named = try self.named(1)
        let alone = try #require(try ports([portBinding("p", [named])])["b1"])
        let crowded = try ports([portBinding("p", [named]), portBinding("q", [try tcp("t", Int(alone.number))])])
        #expect(crowded["t"] == alone)
        #expect(try crowded["b1"] == Port(Int(alone.number) + 1))
        let other = try ports([portBinding("p", [named]), portBinding("q", [try udp("u", Int(alone.number))])])
        #expect(other["b1"] == alone)
    }

    @Test func endWhenAllAreTaken() throws {
        var ports = TunnelPorts(whole: try (20000..<60000).filter { $0 != 30000 }.map { try Port($0) })
        let id = BindingID(owner: ObjectName(namespace: "n", name: "o"), name: "b")
        #expect(try ports.assign(id) == Port(30000))
        #expect(ports.assign(id) == nil)
    }

    /// As somebody who computes the hash would name them: 20,000 names that meet in one place.
    @Test func aCrowdInOnePlaceIsNotWalkedThrough() throws {
        var ports = TunnelPorts(whole: [])
        let id = BindingID(owner: ObjectName(namespace: "n", name: "o"), name: "b")
        let some = ports.assign(id)
        let first = try #require(some)
        let began = ContinuousClock.now
        var last = first
        for _ in 1..<20_000 {
            let some = ports.assign(id)
            let port = try #require(some)
            #expect(port.number == last.number + 1 || port.number == 20_000 || [40_501, 40_601].contains(port.number))
            last = port
        }
        // Walking takes 2·10⁸ steps, minutes in a debug build.
        #expect(ContinuousClock.now - began < .seconds(20))
    }

    @Test func avoidTheReservedPorts() throws {
        var ports = TunnelPorts(whole: try (20000..<60000).filter { ![40500, 40600, 40601].contains($0) }.map { try Port($0) })
        #expect(try ports.assign(BindingID(owner: ObjectName(namespace: "n", name: "o"), name: "b")) == Port(40601))
    }
}
