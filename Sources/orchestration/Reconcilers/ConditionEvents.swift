public import EdgeAPI

/// What of a change of `Ready` people want to read in `kubectl describe`: that it works now, or works no more, and why.
///
/// What never worked yet is no news; its condition says why. For EdgeNodes alone: their PortBindings are all unready for a moment
/// with every change, until the uplinks have taken it up.
public func readinessEvents(
    kind: String, name: ObjectName, before: [Condition], after: [Condition]
) -> [ResourceEvent] {
    guard let now = after["Ready"], now.status != before["Ready"]?.status else { return [] }
    switch now.status {
    case .true: return [ResourceEvent(kind: kind, name: name, level: .normal, reason: now.reason, message: now.message)]
    case .false where before["Ready"]?.status == .true:
        return [ResourceEvent(kind: kind, name: name, level: .warning, reason: now.reason, message: now.message)]
    case .false, .unknown: return []
    }
}
