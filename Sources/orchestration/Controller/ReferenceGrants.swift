import Documents
import EdgeAPI
import KubernetesAPI
import Reconcilers
import Synchronization

/// Asks the API server for the ReferenceGrants of a namespace, where a reference depends on one; what it answered is taken for true
/// for a while, so that many references ask once.
final class ReferenceGrants: Sendable {
    private struct Known {
        var grants: [Grant]
        var at: ContinuousClock.Instant
    }

    static let lifetime: Duration = .seconds(15)
    /// Of one namespace; whoever has more names who may use a Secret on the Secret.
    static let most = 100
    /// Namespaces remembered.
    private static let mostNamespaces = 256

    private let server: APIServer
    private let known = Mutex<[String: Known]>([:])

    init(_ server: APIServer) { self.server = server }

    func allow(_ reference: CrossReference) async throws(StoreError) -> Bool {
        try await grants(in: reference.target.namespace).contains { $0.allows(reference) }
    }

    private func grants(in namespace: String) async throws(StoreError) -> [Grant] {
        let now = ContinuousClock.now
        let held = known.withLock { $0[namespace] }
        if let held, now - held.at < Self.lifetime { return held.grants }
        let grants: [Grant]
        do throws(APIError) {
            let page = try await server.list(.referenceGrants, APISelector(namespace: namespace), limit: Self.most)
            grants = page.items.map { Grant($0) }
        } catch  where error.isNotFound || error.status?.code == 403 {
            // A cluster without the Gateway API, or a controller without the right: nobody has granted anything.
            grants = []
        } catch {
            throw StoreError(error, doing: "read the ReferenceGrants of namespace \(namespace)")
        }
        known.withLock { known in
            if known.count >= Self.mostNamespaces { known = known.filter { now - $0.value.at < Self.lifetime } }
            if known.count < Self.mostNamespaces { known[namespace] = Known(grants: grants, at: now) }
        }
        return grants
    }
}

/// A ReferenceGrant of the Gateway API (v1beta1), as far as it counts.
struct Grant: Hashable, Sendable {
    private struct Source: Hashable {
        var kind: String
        var namespace: String
    }

    private struct Target: Hashable {
        var kind: String
        /// Nil for all of the kind.
        var name: String?
    }

    private let from: Set<Source>
    private let to: Set<Target>

    init(_ object: FieldNode) {
        let spec = object["spec"]
        from = Set(
            (spec?["from"]?.items ?? []).compactMap { source in
                guard source["group"]?.text == APIName.group, let kind = source["kind"]?.text,
                    let namespace = source["namespace"]?.text
                else { return nil }
                return Source(kind: kind, namespace: namespace)
            })
        to = Set(
            (spec?["to"]?.items ?? []).compactMap { target in
                // Secrets and Services are of the core group, whose name is empty.
                guard (target["group"]?.text ?? "").isEmpty, let kind = target["kind"]?.text else { return nil }
                let name = target["name"]?.text
                return Target(kind: kind, name: name == "" ? nil : name)
            })
    }

    func allows(_ reference: CrossReference) -> Bool {
        from.contains(Source(kind: reference.kind, namespace: reference.namespace))
            && (to.contains(Target(kind: reference.targetKind, name: nil))
                || to.contains(Target(kind: reference.targetKind, name: reference.target.name)))
    }
}
