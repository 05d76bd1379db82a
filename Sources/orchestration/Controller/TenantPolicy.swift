import EdgeAPI
import Enrollment
import Reconcilers
public import UplinkWorkload

/// What the operator lets whoever may write resources in one namespace ask for.
public struct TenantPolicy: Sendable {
    public var uplinks: UplinkPolicy
    /// EdgeNodes of one namespace; the youngest beyond are left as they are.
    public var mostEdgeNodes: Int
    /// Whether Services of other namespaces need their owner's word, as Secrets do.
    public var requiresServiceGrants: Bool

    public init(uplinks: UplinkPolicy = UplinkPolicy(), mostEdgeNodes: Int = 100, requiresServiceGrants: Bool = false) {
        self.uplinks = uplinks
        self.mostEdgeNodes = mostEdgeNodes
        self.requiresServiceGrants = requiresServiceGrants
    }

    /// - Parameter siblings: all EdgeNodes of its namespace.
    /// - Throws: why the EdgeNode is left as it is.
    func check(_ node: EdgeNode, among siblings: @autoclosure () -> [EdgeNode]) throws(StoreError) {
        if let problem = uplinks.problem(with: node.spec.uplink, of: node.metadata.namespace) { throw Self.refusal(problem) }
        let siblings = siblings()
        guard siblings.count > mostEdgeNodes else { return }
        func age(_ node: EdgeNode) -> (String, String) { (node.metadata.creationTimestamp, node.metadata.name) }
        let older = siblings.count { age($0) < age(node) }
        guard older >= mostEdgeNodes else { return }
        throw Self.refusal(
            "namespace \(node.metadata.namespace) has \(siblings.count) EdgeNodes, and \(mostEdgeNodes) are allowed "
                + "(--max-edge-nodes-per-namespace): remove one that is older")
    }

    private static func refusal(_ problem: String) -> StoreError {
        StoreError(
            "\(problem); until that is changed the VPS and its uplinks are left as they are", reason: "NotAllowed",
            followUp: .waiting)
    }
}
