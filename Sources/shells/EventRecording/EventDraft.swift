import Documents
import EdgeAPI
import JSON
import KubernetesAPI

/// Something to tell of an object, as `kubectl describe` shows it.
public struct EventDraft: Hashable, Sendable {
    public enum Level: String, Hashable, Sendable {
        case normal = "Normal"
        case warning = "Warning"
    }

    public var regarding: ObjectReference
    /// Another object that has to do with it.
    public var related: ObjectReference?
    public var level: Level
    /// Why it was done, CamelCase; at most 128 bytes.
    public var reason: String
    /// What was done, CamelCase; at most 128 bytes.
    public var action: String
    /// For people; at most 1024 bytes.
    public var note: String

    /// Longer texts are cut; an empty action becomes the reason.
    public init(
        regarding: ObjectReference, related: ObjectReference? = nil, level: Level, reason: String, action: String, note: String
    ) {
        self.regarding = regarding
        self.related = related
        self.level = level
        // The API server's limits (pkg/apis/core/validation/events.go).
        self.reason = shortened(reason, to: 128, mark: "")
        self.action = shortened(action.isEmpty ? reason : action, to: 128, mark: "")
        self.note = shortened(note, to: 1024, mark: "…")
    }

    /// The namespace that the Event goes to.
    var namespace: String { regarding.name.namespace.isEmpty ? "default" : regarding.name.namespace }
}

/// `text` within a number of bytes, cut between characters, with `mark` at its end when it was cut.
func shortened(_ text: String, to limit: Int, mark: String) -> String {
    guard text.utf8.count > limit else { return text }
    var result = ""
    var count = mark.utf8.count
    for character in text {
        count += character.utf8.count
        if count > limit { break }
        result.append(character)
    }
    return result + mark
}

/// An Event as it is on the server, or will be.
struct EventRecord: Hashable, Sendable {
    static let controller = "tunnel.achetronic.com/tidegate"

    var name: ObjectName
    var draft: EventDraft
    var first: MicroTime
    var last: MicroTime
    var count: Int

    func manifest(instance: String) -> FieldValue {
        var fields: FieldMembers = [
            "apiVersion": .string(APIResource.events.apiVersion), "kind": .string(APIResource.events.kind),
            "metadata": .object(["namespace": .string(name.namespace), "name": .string(name.name)]),
            "eventTime": .string(first.description),
            "reportingController": .string(Self.controller),
            "reportingInstance": .string(shortened(instance, to: 128, mark: "")),
            "regarding": draft.regarding.fieldValue,
            "type": .string(draft.level.rawValue), "reason": .string(draft.reason), "action": .string(draft.action),
            "note": .string(draft.note),
        ]
        if let related = draft.related { fields["related"] = related.fieldValue }
        if count > 1 { fields["series"] = series }
        return .object(fields)
    }

    var patch: FieldValue { .object(["series": series]) }

    private var series: FieldValue {
        .object(["count": .integer(count), "lastObservedTime": .string(last.description)])
    }
}
