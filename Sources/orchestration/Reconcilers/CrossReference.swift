public import EdgeAPI
import Enrollment

/// That an object of one namespace names one of another.
public struct CrossReference: Hashable, Sendable {
    /// Of who refers: `EdgeNode` or `PortBinding`.
    public var kind: String
    public var namespace: String
    /// `Secret` or `Service`.
    public var targetKind: String
    public var target: ObjectName

    public init(kind: String, namespace: String, targetKind: String, target: ObjectName) {
        self.kind = kind
        self.namespace = namespace
        self.targetKind = targetKind
        self.target = target
    }

    var isWithinNamespace: Bool { namespace == target.namespace }

    /// Whether the owner of the target says so on it: a namespace or several, separated by commas, or `*` for all.
    func isAllowed(by metadata: ObjectMeta) -> Bool {
        guard let word = metadata.annotations[APIName.allowReferencesAnnotation] else { return false }
        return word.split { $0 == "," || $0 == " " }.contains { $0 == "*" || $0 == namespace }
    }

    /// The same for a target that is not there: who may not use a thing does not learn from us whether there is one.
    var refusal: String {
        "\(targetKind) \(target) is not there, or its owner lets no \(kind) of namespace \(namespace) use it: annotate it with "
            + "\(APIName.allowReferencesAnnotation)=\(namespace), or make a ReferenceGrant in namespace \(target.namespace)"
    }
}

extension EdgeNodeReconciler {
    /// The object, if there is one and it may be used from there.
    /// - Returns: nil when there is none, in the referring object's own namespace.
    /// - Throws: also when it is another namespace's and its owner has not said so, with the reason `ReferenceNotAllowed`.
    func referred<Object: Sendable>(
        _ reference: CrossReference, metadata: (Object) -> ObjectMeta,
        _ look: (ObjectName) async throws(StoreError) -> Object?
    ) async throws(StoreError) -> Object? {
        if reference.isWithinNamespace { return try await look(reference.target) }
        if try await store.needsNoWord(reference) { return try await look(reference.target) }
        let refusal = StoreError(reference.refusal, reason: "ReferenceNotAllowed", followUp: .waiting)
        let found: Object?
        do throws(StoreError) {
            found = try await look(reference.target)
        } catch  where error.reason == "\(reference.targetKind)Invalid" {
            throw refusal
        }
        guard let object = found else { throw refusal }
        if reference.isAllowed(by: metadata(object)) { return object }
        guard try await store.isGranted(reference) else { throw refusal }
        return object
    }

    /// A Secret that the EdgeNode itself names.
    func secret(_ name: ObjectName, of node: EdgeNode) async throws(StoreError) -> Secret? {
        let reference = CrossReference(
            kind: EdgeNode.kind, namespace: node.metadata.namespace, targetKind: Secret.kind, target: name)
        return try await referred(reference, metadata: \.metadata) { name throws(StoreError) in try await store.secret(name) }
    }

    func sshSecret(of node: EdgeNode) async throws(NodeFailure) -> Secret {
        let name = node.spec.ssh.secretRef.objectName(in: node.metadata)
        let secret: Secret?
        do throws(StoreError) {
            secret = try await self.secret(name, of: node)
        } catch {
            throw NodeFailure(error)
        }
        if let secret { return secret }
        throw NodeFailure(
            reason: "SSHSecretMissing",
            message: "Secret \(name) does not exist; create it with privateKey (or password) and knownHosts",
            followUp: .waiting)
    }
}
