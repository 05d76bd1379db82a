public import Documents
import EdgeAPI
import JSON
public import KubernetesAPI

/// The parts of a coordination.k8s.io/v1 Lease that leader election reads and writes.
public struct Lease: Hashable, Sendable {
    /// Who holds it, since when, and how often it changed hands: what counts as a change of the record.
    public struct Record: Hashable, Sendable {
        /// Empty when nobody holds it.
        public var holder: String
        /// Seconds; nil when the Lease names none.
        public var duration: Int64?
        public var acquired: MicroTime?
        public var renewed: MicroTime?
        /// How often it changed hands.
        public var transitions: Int64

        public init(holder: String, duration: Int64?, acquired: MicroTime?, renewed: MicroTime?, transitions: Int64) {
            self.holder = holder
            self.duration = duration
            self.acquired = acquired
            self.renewed = renewed
            self.transitions = transitions
        }

        var fieldValue: FieldValue {
            // A Lease that nobody holds has no holder; an empty one is refused (coordination validation, since 1.31).
            var fields: FieldMembers = [
                "holderIdentity": holder.isEmpty ? .null : .string(holder), "leaseTransitions": .integer(transitions),
            ]
            fields["leaseDurationSeconds"] = duration.map { .integer($0) }
            fields["acquireTime"] = acquired.map { .string($0.description) }
            fields["renewTime"] = renewed.map { .string($0.description) }
            return .object(fields)
        }
    }

    public var resourceVersion: String
    public var record: Record

    public init(resourceVersion: String, record: Record) {
        self.resourceVersion = resourceVersion
        self.record = record
    }

    /// `leaseTransitions` is an int32.
    public static let mostTransitions = Int64(Int32.max)

    /// - Throws: `.malformed` for something that is no Lease.
    public init(_ node: FieldNode) throws(APIError) {
        guard let version = node["metadata"]?["resourceVersion"]?.text else {
            throw .malformed("a Lease without resourceVersion")
        }
        let spec = node["spec"]
        self.init(
            resourceVersion: version,
            record: Record(
                holder: spec?["holderIdentity"]?.text ?? "", duration: spec?["leaseDurationSeconds"]?.integer,
                acquired: spec?["acquireTime"]?.text.flatMap { MicroTime(parsing: $0) },
                renewed: spec?["renewTime"]?.text.flatMap { MicroTime(parsing: $0) },
                transitions: max(0, spec?["leaseTransitions"]?.integer ?? 0)))
    }

    /// What creates it.
    static func manifest(_ record: Record, _ name: ObjectName) -> FieldValue {
        .object([
            "apiVersion": .string(APIResource.leases.apiVersion), "kind": .string(APIResource.leases.kind),
            "metadata": .object(["namespace": .string(name.namespace), "name": .string(name.name)]),
            "spec": record.fieldValue,
        ])
    }

    /// A merge patch that succeeds only when nobody wrote the Lease since; all but the record stays as it is.
    static func patch(_ record: Record, onlyAt resourceVersion: String) -> FieldValue {
        .object([
            "metadata": .object(["resourceVersion": .string(resourceVersion)]),
            "spec": record.fieldValue,
        ])
    }
}
