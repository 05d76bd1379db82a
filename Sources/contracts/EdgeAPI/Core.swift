public import Documents
public import NetworkTypes
public import Sodium

/// The parts of a core/v1 Secret that Tidegate reads. Values are bytes nobody may see.
public struct Secret: Equatable, Sendable {
    public static let kind = "Secret"
    /// What Tidegate reads of a Secret's JSON: how to log in, and certificates. Somebody else's may have tens of thousands of keys, each of
    /// them noted by the server in `managedFields`, and all of it again in kubectl's annotation.
    public static let usedParts: JSONParts = .fields(
        [
            "data": .fields(
                Dictionary(
                    uniqueKeysWithValues: [
                        "privateKey", "passphrase", "password", "knownHosts", "sudoPassword", "tls.crt", "tls.key", "ca.crt",
                    ].map { ($0, .all) }), others: false),
            "metadata": .fields(
                [
                    "managedFields": .none,
                    "annotations": .fields(["kubectl.kubernetes.io/last-applied-configuration": .none], others: true),
                ], others: true),
        ], others: true)

    public var metadata: ObjectMeta
    public var data: [String: SecretBytes]

    public init(metadata: ObjectMeta, data: [String: SecretBytes]) {
        self.metadata = metadata
        self.data = data
    }
}

/// The parts of a core/v1 Service that Tidegate reads.
public struct Service: Hashable, Sendable {
    public static let kind = "Service"

    public var metadata: ObjectMeta
    /// Nil for a headless Service and one that has none yet.
    public var clusterIP: IPv4Address?
    /// Why `clusterIP` is nil.
    public var absence: Absence = .notGiven
    public var ports: [ServicePort]

    public enum Absence: Hashable, Sendable {
        /// `clusterIP: None`.
        case headless
        /// Of type ExternalName; the name.
        case external(String)
        /// It has addresses of IPv6 alone.
        case onlyIPv6
        /// The cluster gives it one when it is created; a file from git has none.
        case notGiven
    }

    public init(metadata: ObjectMeta, clusterIP: IPv4Address?, ports: [ServicePort]) {
        self.metadata = metadata
        self.clusterIP = clusterIP
        self.ports = ports
    }
}

public struct ServicePort: Hashable, Sendable {
    public var name: String?
    public var `protocol`: TransportProtocol
    public var port: Port

    public init(name: String? = nil, protocol: TransportProtocol = .tcp, port: Port) {
        self.name = name
        self.protocol = `protocol`
        self.port = port
    }
}

/// The parts of a discovery.k8s.io/v1 EndpointSlice that Tidegate reads: IPv4 addresses that are ready, and their ports.
public struct EndpointSlice: Hashable, Sendable {
    public static let kind = "EndpointSlice"
    /// The label that names a slice's Service.
    public static let serviceLabel = "kubernetes.io/service-name"
    /// Addresses that are read of one slice: as many as the API allows.
    static let mostAddresses = 1000

    /// By its label; nil without one.
    public var service: ObjectName?
    public var ready: [IPv4Address]
    /// `name` as the Service's port has it; each stands for every address.
    public var ports: [ServicePort]

    public init(service: ObjectName?, ready: [IPv4Address], ports: [ServicePort]) {
        self.service = service
        self.ready = ready
        self.ports = ports
    }
}
