import EdgeAPI
import EventRecording
import Informers
import JSON
import KubernetesAPI
import Reconcilers

extension EventDraft {
    /// - Parameter uid: of the object; empty when unknown.
    init(_ event: ResourceEvent, uid: String) {
        self.init(
            regarding: ObjectReference(apiVersion: APIName.groupVersion, kind: event.kind, name: event.name, uid: uid),
            level: event.level == .warning ? .warning : .normal, reason: event.reason, action: "Reconcile",
            note: event.message)
    }
}

/// The status of an object that does not decode: one condition.
func invalidStatus(_ condition: Condition, now: String) -> FieldValue {
    var conditions: [Condition] = []
    conditions.set(condition, now: now)
    return EdgeNodeStatus(conditions: conditions, observedGeneration: condition.observedGeneration).fieldValue
}
