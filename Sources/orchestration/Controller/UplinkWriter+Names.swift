import Documents
import EdgeAPI
import KubernetesAPI
import Reconcilers
import Synchronization
import UplinkWorkload

// What the objects of an EdgeNode are called, where several EdgeNodes have the same name.
extension UplinkWriter {
    /// As they were chosen; the plain ones until then.
    func knownNames(of node: EdgeNode) -> UplinkNames {
        known.withLock { $0[node.metadata.objectName]?.names } ?? UplinkNames(of: node)
    }

    /// Which names the objects have: the plain ones, unless those are another's. Whose the Secret of the keys is, or the StatefulSet, has
    /// them all; and what an EdgeNode has once it keeps, so that nothing is ever renamed that carries traffic.
    /// - Returns: also the Secret as it is.
    func chooseNames(_ plain: UplinkNames) async throws(APIError) -> (UplinkNames, FieldNode?) {
        let secret = try await server.get(.secrets, plain.keysSecret)
        let secretOwner = UplinkOwnership(of: secret, for: plain)
        if secretOwner == .ours { return (plain, secret) }
        let setOwner = UplinkOwnership(of: try await server.get(.statefulSets, plain.statefulSet), for: plain)
        if setOwner == .ours { return (plain, secret) }
        let own = plain.qualified
        let ownSecret = try await server.get(.secrets, own.keysSecret)
        if ownSecret != nil { return (own, ownSecret) }
        if try await server.get(.statefulSets, own.statefulSet) != nil || secretOwner != .free || setOwner != .free {
            return (own, nil)
        }
        // The Service of `9x` is `en-9x-uplink`, and so is that of an EdgeNode `en-9x`.
        let service = UplinkOwnership(of: try await server.get(.services, plain.service), for: plain)
        if case .taken = service { return (own, nil) }
        return (plain, nil)
    }

    func faster(than names: UplinkNames) async throws(StoreError) -> UplinkNames {
        do throws(APIError) {
            let secret = try await server.get(.secrets, names.keysSecret)
            if case .taken = UplinkOwnership(of: secret, for: names) { return names.qualified }
            return names
        } catch {
            throw StoreError(error, doing: "keep the uplinks' keys of EdgeNode \(names.edgeNode)")
        }
    }
}
