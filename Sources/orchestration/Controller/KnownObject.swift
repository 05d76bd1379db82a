import Documents
import EdgeAPI
import Informers
import KubernetesAPI
import Reconcilers
import Sodium

/// An object of an EdgeNode's uplinks as it was when it was last written, or found right.
struct KnownObject: Sendable {
    /// Whether it is still so; later ones are worse.
    enum Standing: Comparable, Sendable {
        case right
        /// The watch may not have caught up with our own write; looked at again after `patience`.
        case unsure
        /// It is otherwise than it was left, or cannot be told: the server is to be asked.
        case deviating
    }

    /// What was asked for; nil for the absence of the object, and for the Secret, which is not written as a whole.
    var value: SHA256Digest?
    /// Empty where there is no object.
    var resourceVersion: String
    /// What the server made of it; nil for its absence.
    var content: SHA256Digest?
    /// When the server last answered.
    var at: ContinuousClock.Instant
    /// Whether the watch has shown it.
    var isSeen = false

    init(value: SHA256Digest?, resourceVersion: String, content: SHA256Digest?, at: ContinuousClock.Instant) {
        self.value = value
        self.resourceVersion = resourceVersion
        self.content = content
        self.at = at
    }

    /// How far a watch may be behind our own writes.
    static let patience: Duration = .seconds(2)

    mutating func standing(_ sight: Sight, now: ContinuousClock.Instant) -> Standing {
        let isFresh = now - at < Self.patience
        switch sight {
        case .unknown: return now - at < EdgeNodeReconciler.resync ? .right : .deviating
        case .absent:
            guard content != nil else { return .right }
            return isFresh && !isSeen ? .unsure : .deviating
        case .present(let version, let object):
            guard let content else { return isFresh ? .unsure : .deviating }
            if isOlder(version, than: resourceVersion) { return isFresh ? .right : .unsure }
            isSeen = true
            return object.content == content ? .right : .deviating
        }
    }
}

/// Who else wrote the object last, as the server's record of fields has it; nil when nobody else did.
func lastWriter(of object: FieldNode) -> String? {
    var newest: (manager: String, time: String)?
    for entry in object["metadata"]?["managedFields"]?.items ?? [] {
        guard let manager = entry["manager"]?.text, manager != APIServer.fieldManager, (entry["subresource"]?.text ?? "").isEmpty
        else { continue }
        let time = entry["time"]?.text ?? ""
        if newest.map({ $0.time <= time }) ?? true { newest = (manager, time) }
    }
    return newest?.manager
}
