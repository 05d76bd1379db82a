import Documents
import EdgeAPI
import Testing

@testable import Informers

@Suite struct ObjectStoreTests {
    private func texts(_ changes: [ObjectChange<Thing>]) -> [String] { changes.map(\.text) }

    private func list(_ objects: Observed<Thing>...) -> [ObjectName: Observed<Thing>] {
        Dictionary(uniqueKeysWithValues: objects.map { ($0.name, $0) })
    }

    @Test func tellsWhatAWatchBrings() {
        var store = ObjectStore<Thing>()
        #expect(texts(store.put(observed("a", 1))) == ["+a=w"])
        #expect(texts(store.put(observed("a", 1))) == [])
        #expect(texts(store.put(observed("a", 3, "x"))) == ["~a=x"])
        // Told late: another way was faster.
        #expect(texts(store.put(observed("a", 2, "old"))) == [])
        #expect(texts(store.remove(thingName("a"), resourceVersion: "2")) == [])
        #expect(store[thingName("a")]?.object?.word == "x")
        #expect(texts(store.put(observed("a", uid: "v", 9, "new"))) == ["-a=x", "+a=new"])
        #expect(texts(store.remove(thingName("a"), resourceVersion: "10")) == ["-a=new"])
        #expect(texts(store.remove(thingName("a"), resourceVersion: "10")) == [])
        #expect(store.objects.isEmpty)
    }

    @Test func tellsHowAListDiffers() {
        var store = ObjectStore<Thing>()
        #expect(texts(store.replace(with: list(observed("b", 1), observed("a", 2)))) == ["+a=w", "+b=w"])
        #expect(texts(store.replace(with: list(observed("b", 1), observed("a", 2)))) == [])
        let other = list(observed("c", 5), observed("b", 4, "x"))
        #expect(texts(store.replace(with: other)) == ["-a=w", "~b=x", "+c=w"])
        // A restored etcd has lower versions; its word counts.
        #expect(texts(store.replace(with: list(observed("b", 1, "w")))) == ["-c=w", "~b=w"])
        #expect(texts(store.replace(with: list(observed("b", uid: "v", 7, "n")))) == ["-b=w", "+b=n"])
        #expect(texts(store.replace(with: [:], keeping: [thingName("b")])) == [])
        #expect(texts(store.replace(with: [:])) == ["-b=n"])
    }

    @Test func findsByIndex() {
        var store = ObjectStore(indexes: [Thing.byOwner])
        _ = store.put(observed("a", 1, "a", owner: "n"))
        _ = store.put(observed("b", 2, "b", owner: "n"))
        _ = store.put(observed("c", 3, "c"))
        func words(_ owner: String, by index: ObjectIndex<Thing> = Thing.byOwner) -> [String] {
            store.objects(index, thingName(owner)).map(\.word).sorted()
        }
        #expect(words("n") == ["a", "b"])
        _ = store.put(observed("a", 4, "a", owner: "m"))
        #expect(words("n") == ["b"])
        #expect(words("m") == ["a"])
        _ = store.remove(thingName("b"), resourceVersion: "5")
        #expect(words("n") == [])
        _ = store.replace(with: list(observed("c", 6, "c", owner: "n")))
        #expect(words("n") == ["c"])
        #expect(words("m") == [])
        // One that it was not made with.
        #expect(words("x", by: ObjectIndex("word") { [thingName($0.word == "c" ? "x" : "y")] }) == ["c"])
        #expect(words("y", by: ObjectIndex("word") { [thingName($0.word == "c" ? "x" : "y")] }) == [])
    }

    @Test func keepsWhatDoesNotDecode() throws {
        let text = """
            {"metadata":{"name":"a","namespace":"edge","uid":"u","resourceVersion":"7","generation":3,
             "deletionTimestamp":"2026-11-21T00:00:00Z","finalizers":["f"],"labels":{"l":"1"},"annotations":{"a":"2"},
             "managedFields":[{"manager":"m"}]},"spec":{"word":"bad"}}
            """
        let object = try #require(Observed(try FieldNode(json: Array(text.utf8)), decode: Thing.decode))
        guard case .invalid(let metadata, let problems) = object.content else {
            Issue.record("it decoded")
            return
        }
        #expect(
            metadata
                == ObjectMeta(
                    name: "a", namespace: "edge", uid: "u", resourceVersion: "7", generation: 3,
                    deletionTimestamp: "2026-11-21T00:00:00Z", labels: ["l": "1"], annotations: ["a": "2"], finalizers: ["f"]))
        #expect(problems.map(\.path) == ["spec.word"])
        var store = ObjectStore(indexes: [Thing.byOwner])
        #expect(texts(store.put(object)) == ["+a=!"])
        #expect(texts(store.put(observed("a", 8, owner: "n"))) == ["~a=w"])
        #expect(texts(store.put(object)) == [])
        #expect(store.objects(Thing.byOwner, thingName("n")).count == 1)
    }

    @Test(arguments: [
        "{}", #"{"metadata":{}}"#, #"{"metadata":{"name":"","resourceVersion":"1"}}"#, #"{"metadata":{"name":"a"}}"#,
        #"{"metadata":{"name":7,"resourceVersion":"1"}}"#, "[]", "null",
    ])
    func takesNothingWithoutName(_ text: String) throws {
        #expect(Observed(try FieldNode(json: Array(text.utf8)), decode: Thing.decode) == nil)
    }

    @Test(arguments: [
        ("1", "2", true), ("2", "1", false), ("2", "2", false), ("9", "10", true), ("10", "9", false),
        ("18446744073709551615", "18446744073709551616", true), ("a", "b", false), ("", "1", false), ("1", "", false),
        ("01", "2", false), ("1", "2a", false),
    ])
    func comparesVersions(_ a: String, _ b: String, _ expected: Bool) {
        #expect(isOlder(a, than: b) == expected)
    }
}
