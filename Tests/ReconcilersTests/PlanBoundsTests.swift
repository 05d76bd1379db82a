import EdgeAPI
import Enrollment
import Fixtures
import Testing

@testable import Reconcilers

/// What one tenant may have planned, and whose plan is made next.
@Suite struct PlanBoundsTests {
    private func reason(_ portBindings: [PortBinding]) throws -> String? {
        let node = try edgeNode()
        do throws(StoreError) {
            try PlanBounds.check(portBindings, of: node)
            return nil
        } catch {
            #expect(error.followUp == .waiting)
            return error.reason
        }
    }

    @Test func takesWhatFitsTheUplinksDocument() throws {
        let one = try tcp("web", 80)
        let full = portBinding("full", Array(repeating: one, count: PlanBounds.mostBindings))
        #expect(try reason([full]) == nil)
        #expect(try reason([full, portBinding("more", [one])]) == "NotAllowed")
        var leaving = portBinding("leaving", [one])
        leaving.metadata.deletionTimestamp = "2026-11-29T12:00:00Z"
        #expect(try reason([full, leaving]) == nil)
    }

    /// A PortBinding of a megabyte: names of 253 bytes with 127 labels, of which planning would keep 94 MB of suffixes.
    @Test func namesThatAreAllLabelsAreFew() throws {
        let name = Array(repeating: "a", count: 127).joined(separator: ".")
        let bindings = try (0..<6).map { try tls("t\($0)", 443, Array(repeating: name, count: 1000)) }
        #expect(try reason([portBinding("b", bindings)]) == "NotAllowed")
        #expect(try reason([portBinding("b", [bindings[0]])]) == "NotAllowed")
        // Ten thousand names such as people have.
        let usual = try tls("usual", 443, Array(repeating: "www.shop-1234.customers.example.com", count: 10_000))
        #expect(try reason([portBinding("b", [usual])]) == nil)
    }

    @Test(.timeLimit(.minutes(1))) func tenantsTakeTurns() async {
        let turns = PlanningTurns()
        let journal = Journal()
        await turns.enter("a")
        await withDiscardingTaskGroup { group in
            for (number, tenant) in (Array(repeating: "a", count: 5) + ["b", "b"]).enumerated() {
                group.addTask { _ = await turns.run(for: tenant) { journal.add(tenant) } }
                while turns.waitingCount <= number { await Task.yield() }
            }
            #expect(journal.take() == [], "one at a time")
            turns.leave()
        }
        #expect(journal.take() == ["a", "b", "a", "b", "a", "a", "a"])
        #expect(turns.waitingCount == 0)
    }

    @Test func whoIsStoppedPlansNothing() async {
        let turns = PlanningTurns()
        let stopped = Task {
            while !Task.isCancelled { await Task.yield() }
            return await turns.run(for: "a") { 1 }
        }
        stopped.cancel()
        #expect(await stopped.value == nil)
        #expect(await turns.run(for: "a") { 2 } == 2)
    }
}
