import NodeDocument
import Testing

@testable import NodeAgent

@Suite struct ConnectionTableTests {
    @Test(
        arguments: [
            ("100", "65536", false), ("58970", "65536", false), ("58977", "65536", true), ("65536", "65536", true),
            (nil, "65536", false), ("1", nil, false), ("1", "0", false), ("x", "9", false),
        ] as [(String?, String?, Bool)]) func aFullTableIsNamed(_ count: String?, _ limit: String?, _ isNamed: Bool)
    {
        let problem = ConnectionTable.problem(count: count, limit: limit)
        #expect((problem != nil) == isNamed)
        if let problem { #expect(problem.message.contains("of 65536 entries") && problem.message.contains("nf_conntrack_max")) }
    }
}
