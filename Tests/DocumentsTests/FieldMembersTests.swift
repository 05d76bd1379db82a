import Documents
import JSON
import Testing

@Suite struct FieldMembersTests {
    private func keys(_ members: FieldMembers) -> [String] { members.map(\.key) }

    @Test func theyAreSortedAndEachIsThereOnce() {
        let members: FieldMembers = ["b": 1, "a": 2, "c": 3, "b": 4, "a": 5]
        #expect(keys(members) == ["a", "b", "c"])
        #expect(members["a"] == 5 && members["b"] == 4 && members["c"] == 3 && members["d"] == nil)
        #expect(members == ["a": 5, "b": 4, "c": 3])
        #expect(FieldMembers(members.reversed()) == members)
    }

    @Test func theyAreSetAndTakenOut() {
        var members: FieldMembers = [:]
        for key in ["m", "z", "a", "n", "a"] { members[key] = .string(key) }
        #expect(keys(members) == ["a", "m", "n", "z"])
        members["m"] = nil
        members["q"] = nil
        members["z"] = 1
        #expect(members == ["a": "a", "n": "n", "z": 1])
    }

    @Test func othersGoBefore() {
        let members: FieldMembers = ["a": 1, "c": 1]
        #expect(members.merging(["b": 2, "c": 2]) == ["a": 1, "b": 2, "c": 2])
    }
}
