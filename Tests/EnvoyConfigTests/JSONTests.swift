import Testing

@testable import EnvoyConfig

@Suite struct JSONTests {
    @Test func keysAreSortedAndAbsentMembersLeftOut() {
        let value: JSON = ["b": 1, "a": [true, "x"], "@type": "t", "c": .absent, "d": [:]]
        #expect(value.text == #"{"@type":"t","a":[true,"x"],"b":1,"d":{}}"#)
    }

    @Test func textCannotLeaveItsString() {
        #expect(JSON.string("\"\\\n\u{0}\u{7F}é").text == "\"\\\"\\\\\\n\\u0000\\u007fé\"")
    }
}
