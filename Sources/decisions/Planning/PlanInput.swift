public import EdgeAPI
public import NetworkTypes
public import NodeDocument
public import Sodium

/// All that a plan for one EdgeNode depends on; equal inputs give equal plans, to the byte.
public struct PlanInput: Sendable {
    public var node: EdgeNode
    /// Those that refer to `node`; others are ignored.
    public var portBindings: [PortBinding]
    /// The Services that bindings refer to; one that is missing here does not exist.
    public var services: [ObjectName: Service]
    /// The EndpointSlices of those of them whose endpoints a binding asks for; one that is missing here could not be read.
    public var slices: [ObjectName: [EndpointSlice]] = [:]
    /// Why an object above may not be used, or could not be read, by whoever refers to it; by the namespace of the reference, for what one
    /// may use another may not.
    public var refusedReferences: [NamedFrom: String] = [:]
    /// The TLS Secrets that bindings refer to, checked; one that is missing here does not exist.
    public var certificates: [ObjectName: CertificateSource]
    /// The bindings whose certificate the host does not have, so that it cannot be kept.
    public var lostCertificates: Set<String> = []
    /// Public keys by ordinal. A replica without a key is left out; one beyond `spec.uplink.replicas` is on its way out, and
    /// keeps its peer until its key is gone.
    public var uplinkKeys: [Int: WireGuardPublicKey]
    /// Of the same uplinks' keys for links.
    public var linkPins: [Int: SHA256Digest] = [:]
    /// What a link's name and path are made of where the EdgeNode has no uid: known to who may read the installation's files.
    public var linkSecret = ""
    /// What `link.secretRef` and `link.clientCASecretRef` hold, the authority being the clients'; nil where links have no TLS but their own.
    public var linkCertificate: CertificateSource?
    /// PEM: who signed it; nil for the system's authorities.
    public var linkAuthority: String?
    /// Of the same uplinks' keys for the VPS's sshd.
    public var sshKeys: [Int: SSHPublicKey] = [:]
    /// The build of the link program that hosts are to run; nil where no host is told.
    public var linkProgram: String?
    public var envoyRelease: EnvoyRelease
    /// Where bindings may lead.
    public var targets = TargetPolicy()

    public init(
        node: EdgeNode, portBindings: [PortBinding], services: [ObjectName: Service],
        certificates: [ObjectName: CertificateSource],
        uplinkKeys: [Int: WireGuardPublicKey], envoyRelease: EnvoyRelease
    ) {
        self.node = node
        self.portBindings = portBindings
        self.services = services
        self.certificates = certificates
        self.uplinkKeys = uplinkKeys
        self.envoyRelease = envoyRelease
    }
}

/// An object as another names it.
public struct NamedFrom: Hashable, Sendable {
    /// Of who refers to it.
    public var namespace: String
    public var kind: String
    public var name: ObjectName

    public init(_ namespace: String, _ kind: String, _ name: ObjectName) {
        self.namespace = namespace
        self.kind = kind
        self.name = name
    }
}
