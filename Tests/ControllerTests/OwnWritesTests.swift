import EdgeAPI
import Testing

@testable import Controller

@Suite struct OwnWritesTests {
    private func meta(_ name: String, version: Int, uid: String = "u") -> ObjectMeta {
        ObjectMeta(name: name, namespace: "n", uid: uid, resourceVersion: "\(version)")
    }

    private func name(_ name: String) -> ObjectName { ObjectName(namespace: "n", name: name) }

    /// What is newest counts; an object that was made anew, or is gone, is not what was written.
    @Test func tellsTheNewest() {
        var writes = OwnWrites<ObjectMeta> { $0 }
        let cases: [(ours: ObjectMeta, watched: ObjectMeta?, wins: ObjectMeta?)] = [
            (meta("a", version: 9), meta("a", version: 8), meta("a", version: 9)),
            (meta("a", version: 9), meta("a", version: 10), meta("a", version: 10)),
            (meta("a", version: 9), meta("a", version: 8, uid: "v"), meta("a", version: 8, uid: "v")),
            (meta("a", version: 9), nil, nil),
        ]
        for one in cases {
            writes.remember(one.ours) { _ in one.watched }
            #expect(writes.newest(name("a"), watched: one.watched) == one.wins)
        }
        #expect(writes.count == 0)
    }

    /// Objects that nobody asks for again are not held twice.
    @Test func keepsFewOfThoseThatTheWatchKnows() {
        var writes = OwnWrites<ObjectMeta> { $0 }
        for number in 0..<100_000 {
            writes.remember(meta("\(number)", version: 5)) { self.meta($0.name, version: 5) }
            #expect(writes.count <= OwnWrites<ObjectMeta>.least + 1)
        }
    }

    /// Those that it does not know yet stay, at a cost that does not grow with each.
    @Test func keepsAllThatTheWatchHasNotToldOf() {
        var writes = OwnWrites<ObjectMeta> { $0 }
        var looks = 0
        for number in 0..<10_000 {
            writes.remember(meta("\(number)", version: 5)) { name in
                looks += 1
                return self.meta(name.name, version: 4)
            }
        }
        #expect(writes.count == 10_000)
        #expect(looks < 40_000)
    }
}
