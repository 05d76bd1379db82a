import NetworkTypes
import Reconcilers

/// Asks pods what holds them up, where the VPS hears of none: an uplink that has no tunnel has nobody else to tell.
///
/// The address may be another pod's by now: no answer is followed, long waited for or read at length, and what it says is but shown.
struct UplinkQuestion: Sendable {
    /// Bytes of an answer.
    private static let limit = 2048
    /// Pods that are asked, all at once.
    private static let asked = 3

    var port = Port.uplinkReadiness

    /// - Returns: of the first one that is held up by something; nil where none says so, or can be reached from here.
    func complaint(of pods: [Int: UplinkPods.Pod]) async -> String? {
        let held = pods.filter { !$0.value.isReady && !$0.value.isLeaving }.compactMapValues(\.address)
        return await withTaskGroup(of: (ordinal: Int, words: String?).self) { tasks in
            for (ordinal, address) in held.sorted(by: { $0.key < $1.key }).prefix(Self.asked) {
                tasks.addTask { (ordinal, await complaint(at: address)) }
            }
            var first: (ordinal: Int, words: String)?
            for await (ordinal, words) in tasks {
                if let words, first.map({ ordinal < $0.ordinal }) ?? true { first = (ordinal, words) }
            }
            return first.map { "uplink \($0.ordinal): \($0.words)" }
        }
    }

    /// Whether it lives the kubelet asks.
    private func complaint(at address: IPAddress) async -> String? {
        let page = await PodPage.get("http://\(HostAddress.ip(address).bracketed):\(port)/healthz", limit: Self.limit)
        guard let page else { return nil }
        let word = LivenessAnswer(parsing: String(decoding: page, as: UTF8.self))
        return word.problem == nil ? word.complaint.map { printable($0, limit: 400) } : nil
    }
}
