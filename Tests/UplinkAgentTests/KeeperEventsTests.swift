import NetworkTypes
import Testing

@testable import UplinkAgent

@Suite struct KeeperEventsTests {
    /// Hours of a keeper that hangs are one event of a kind, and none is lost that came while one was acted on.
    @Test func waitingEventsAreOneOfAKind() async throws {
        let events = KeeperEvents()
        let name = try HostAddress(parsing: "vps.example")
        for _ in 0..<10_000 {
            events.send(.tick)
            events.send(.filesChanged)
        }
        events.send(.resolved(name, [], nil))
        var seen: [String] = []
        for await event in events.stream {
            events.took(event)
            switch event {
            case .tick: seen.append("tick")
            case .filesChanged:
                seen.append("files")
                if seen.count == 2 { events.send(.filesChanged) }
            case .resolved: seen.append("resolved")
            }
            if seen.count == 4 { break }
        }
        #expect(seen == ["tick", "files", "resolved", "files"])
    }
}
