import Documents
import EdgeAPI
import KubernetesAPI

@testable import Informers

/// The object of these tests: a word, and the name of another object that it refers to.
struct Thing: Hashable, Sendable {
    var word: String
    var owner: ObjectName?

    init(_ word: String, owner: String? = nil) {
        self.word = word
        self.owner = owner.map { ObjectName(namespace: "edge", name: $0) }
    }

    static let resource = APIResource(group: "test", version: "v1", kind: "Thing", plural: "things")
    static let byOwner = ObjectIndex<Thing>("owner") { $0.owner.map { [$0] } ?? [] }

    /// Refuses the word `bad`.
    static func decode(_ node: FieldNode) -> Decoded<Thing> {
        guard let word = node["spec"]?["word"]?.text, word != "bad" else {
            return Decoded(value: nil, problems: [FieldProblem(path: "spec.word", position: nil, message: "is bad")])
        }
        return Decoded(value: Thing(word, owner: node["spec"]?["owner"]?.text), problems: [])
    }
}

func thingName(_ name: String, in namespace: String = "edge") -> ObjectName { ObjectName(namespace: namespace, name: name) }

func observed(_ name: String, uid: String = "u", _ version: Int, _ word: String = "w", owner: String? = nil) -> Observed<Thing> {
    Observed(
        name: thingName(name), uid: uid, resourceVersion: "\(version)", content: .valid(Thing(word, owner: owner)))
}

extension ObjectChange<Thing> {
    /// Such as `+a=w`, `~a=x` and `-a=x`; an object that does not decode is `!`.
    var text: String {
        func word(_ object: Observed<Thing>) -> String { object.object?.word ?? "!" }
        return switch self {
        case .added(let object): "+\(name.name)=\(word(object))"
        case .updated(_, let object): "~\(name.name)=\(word(object))"
        case .deleted(let object): "-\(name.name)=\(word(object))"
        }
    }
}
