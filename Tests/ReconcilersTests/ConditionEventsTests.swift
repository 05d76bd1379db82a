import EdgeAPI
import Testing

@testable import Reconcilers

@Suite struct ConditionEventsTests {
    private let name = ObjectName(namespace: "default", name: "edge")

    private func events(_ before: Condition.Status?, _ after: Condition.Status?) -> [String] {
        func conditions(_ status: Condition.Status?) -> [Condition] {
            status.map { [Condition(type: "Ready", status: $0, reason: "R", message: "because of \($0.rawValue)")] } ?? []
        }
        return readinessEvents(kind: "EdgeNode", name: name, before: conditions(before), after: conditions(after))
            .map { "\($0.level.rawValue) \($0.reason): \($0.message)" }
    }

    @Test func thatItWorksOrWorksNoMoreIsNews() {
        for before in [nil, .false, .unknown] as [Condition.Status?] {
            #expect(events(before, .true) == ["Normal R: because of True"])
        }
        #expect(events(.true, .false) == ["Warning R: because of False"])
    }

    @Test func whatIsAsItWasOrNotKnownIsNone() {
        for status in [nil, .true, .false, .unknown] as [Condition.Status?] { #expect(events(status, status) == []) }
        for before in [nil, .false, .unknown] as [Condition.Status?] { #expect(events(before, .false) == []) }
        #expect(events(.true, .unknown) == [] && events(.true, nil) == [])
    }
}
