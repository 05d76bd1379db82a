import EdgeAPI
import Enrollment

/// What one EdgeNode may be asked to carry: what planning costs is everybody's.
enum PlanBounds {
    /// Twice of what planning takes a second for at most (docs/benchmarks.md).
    static let mostBindings = 20_000
    /// Bytes of all SNI names, each as often as it has labels: planning looks at every suffix of a name.
    static let mostNameBytes = 16 << 20

    /// - Throws: why the EdgeNode is left as it is.
    static func check(_ portBindings: [PortBinding], of node: EdgeNode) throws(StoreError) {
        var (bindings, names) = (0, 0)
        for portBinding in portBindings where portBinding.metadata.deletionTimestamp == nil {
            bindings += portBinding.spec.bindings.count
            for name in portBinding.spec.bindings.lazy.flatMap({ $0.tls?.hostnames ?? [] }) {
                names += name.utf8.count * (1 + name.utf8.count { $0 == UInt8(ascii: ".") })
            }
        }
        if bindings > mostBindings { throw refusal("\(bindings) bindings, and \(mostBindings) are the most", node) }
        if names > mostNameBytes { throw refusal("more tls.hostnames, or longer ones, than can be told apart", node) }
    }

    private static func refusal(_ what: String, _ node: EdgeNode) -> StoreError {
        StoreError(
            "EdgeNode \(node.metadata.objectName) has \(what): spread them over more EdgeNodes; until that is changed the VPS and its "
                + "uplinks are left as they are", reason: "NotAllowed", followUp: .waiting)
    }
}
