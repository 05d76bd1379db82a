import Testing

@testable import EdgeAPI

@Suite struct ConditionTests {
    private func message(_ text: String) -> String {
        Condition(type: "Ready", status: .false, reason: "AgentFailed", message: text).message
    }

    /// The API server counts code points, and refuses the whole status for one too many.
    @Test func aMessageIsNoLongerThanTheAPITakes() {
        for character in ["a", "é", "😀", "e\u{301}"] {
            let scalars = character.unicodeScalars.count
            let longest = String(repeating: character, count: Condition.messageLimit / scalars)
            #expect(message(longest) == longest)
            let clipped = message(longest + "ab")
            #expect(clipped.unicodeScalars.count == Condition.messageLimit)
            #expect(clipped.unicodeScalars.last == "…" && longest.unicodeScalars.starts(with: clipped.unicodeScalars.dropLast()))
        }
    }
}
