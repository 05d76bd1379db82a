import Documents
import EdgeAPI
import KubernetesAPI
import NetworkTypes
import Reconcilers

/// An uplink's pod, as far as it is kept.
struct WatchedPod: Hashable, Sendable {
    var owner: ObjectName
    var pod: UplinkPods.Pod

    /// A pod that names no EdgeNode is nobody's, and does not decode.
    static func decode(_ object: FieldNode) -> Decoded<WatchedPod> {
        guard let owner = object.edgeNode else {
            return Decoded(
                value: nil, problems: [FieldProblem(path: "metadata.annotations", position: nil, message: "names no EdgeNode")])
        }
        return Decoded(value: WatchedPod(owner: owner, pod: UplinkPods.Pod(object)), problems: [])
    }
}

extension UplinkPods.Pod {
    init(_ object: FieldNode) {
        let status = object["status"]
        let phase = status?["phase"]?.text
        self.init(
            uid: object["metadata"]?["uid"]?.text ?? "", isReady: Self.condition("Ready", of: status)?["status"]?.text == "True",
            isLeaving: object["metadata"]?["deletionTimestamp"]?.text != nil || phase == "Failed" || phase == "Succeeded",
            trouble: Self.trouble(status), address: status?["podIP"]?.text.flatMap(IPAddress.init))
    }

    private static func condition(_ type: String, of status: FieldNode?) -> FieldNode? {
        status?["conditions"]?.items?.first { $0["type"]?.text == type }
    }

    /// Why the pod does not run, in words that stay the same while nothing else happens: no counts, times or names.
    private static func trouble(_ status: FieldNode?) -> String? {
        for container in status?["containerStatuses"]?.items ?? [] {
            if let reason = container["state"]?["waiting"]?["reason"]?.text {
                // The back-off's message counts its seconds; why the container ended says more.
                let message = reason == "CrashLoopBackOff" ? nil : container["state"]?["waiting"]?["message"]?.text
                return short(reason, lastEnd(container["lastState"]) ?? message)
            }
            if let end = lastEnd(container["state"]) { return short("the container ended", end) }
        }
        if let scheduled = condition("PodScheduled", of: status), scheduled["status"]?.text == "False" {
            return short(scheduled["reason"]?.text ?? "Unschedulable", scheduled["message"]?.text)
        }
        return status?["reason"]?.text.map { short($0, status?["message"]?.text) }
    }

    private static func lastEnd(_ state: FieldNode?) -> String? {
        guard let ended = state?["terminated"] else { return nil }
        let code = ended["exitCode"]?.integer.map { "exit code \($0)" }
        return [ended["reason"]?.text, code].compactMap(\.self).joined(separator: ", ")
    }

    /// What others wrote is shown as text of one line, and not at any length.
    private static func short(_ reason: String, _ message: String?) -> String {
        let words = message.map { $0.isEmpty ? reason : "\(reason) (\($0))" } ?? reason
        return printable(words, limit: 160)
    }
}
