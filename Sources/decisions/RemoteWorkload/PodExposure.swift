public import Documents
public import EdgeAPI
public import JSON
public import NetworkTypes
import Sodium

/// A pod whose ports are elsewhere, as far as it matters here: what it asks for by its annotations (those of interLink's contract, and ours).
public struct ExposedPod: Hashable, Sendable {
    public static let exposeAnnotation = "\(APIName.group)/expose"
    public static let extraPortsAnnotation = "\(APIName.group)/extra-ports"
    public static let commandAnnotation = "\(APIName.group)/client-command"
    public static let interLinkPortsAnnotation = "interlink.eu/wstunnel-extra-ports"
    public static let interLinkVPNAnnotation = "interlink.eu/pod-vpn"
    public static let interLinkTimeoutAnnotation = "interlink.virtual-kubelet.io/wstunnel-timeout"
    public static let wstunnelCommandAnnotation = "interlink.eu/wstunnel-client-commands"
    public static let ratholeCommandAnnotation = "interlink.eu/rathole-client-commands"

    public var name: ObjectName
    public var uid: String
    /// Nil before it has one.
    public var nodeName: String?
    /// It ended, or is going.
    public var isOver: Bool
    /// Of its containers.
    public var ports: [RemotePort]
    /// The annotations above, as far as it has them.
    public var annotations: [String: String]

    /// All that is kept of a pod's JSON.
    public static let usedParts: JSONParts = .fields(
        [
            "metadata": .fields(
                [
                    "name": .all, "namespace": .all, "uid": .all, "resourceVersion": .all, "deletionTimestamp": .all,
                    "annotations": .all,
                ],
                others: false),
            "spec": .fields(
                ["nodeName": .all, "containers": .each(container), "initContainers": .each(container)], others: false),
            "status": .fields(["phase": .all], others: false),
        ], others: true)
    private static let container: JSONParts = .fields(["ports": .all], others: false)

    private static let known: Set<String> = [
        exposeAnnotation, extraPortsAnnotation, commandAnnotation, interLinkPortsAnnotation, interLinkVPNAnnotation,
        interLinkTimeoutAnnotation, wstunnelCommandAnnotation, ratholeCommandAnnotation,
    ]

    /// Nil for what has no name.
    public init?(_ object: FieldNode) {
        let metadata = object["metadata"]
        guard let name = metadata?["name"]?.text, let namespace = metadata?["namespace"]?.text, let uid = metadata?["uid"]?.text
        else {
            return nil
        }
        self.name = ObjectName(namespace: namespace, name: name)
        self.uid = uid
        nodeName = object["spec"]?["nodeName"]?.text
        let phase = object["status"]?["phase"]?.text
        isOver = metadata?["deletionTimestamp"]?.text != nil || phase == "Succeeded" || phase == "Failed"
        annotations = (metadata?["annotations"]?.texts ?? [:]).filter { Self.known.contains($0.key) }
        let containers = (object["spec"]?["containers"]?.items ?? []) + (object["spec"]?["initContainers"]?.items ?? [])
        ports = containers.flatMap { $0["ports"]?.items ?? [] }.compactMap { field in
            let transport = field["protocol"]?.text ?? TransportProtocol.tcp.rawValue
            guard let number = field["containerPort"]?.integer, let port = try? Port(number),
                let transport = TransportProtocol(rawValue: transport)
            else { return nil }
            return RemotePort(name: field["name"]?.text ?? "", protocol: transport, port: port, targetPort: port)
        }
    }

    private func says(_ annotation: String) -> String { annotations[annotation] ?? "" }

    /// Whether it asks for it itself; nil where it says nothing.
    public var wish: Bool? {
        if !says(Self.interLinkVPNAnnotation).isEmpty { return false }
        switch says(Self.exposeAnnotation) {
        case "true": return true
        case "false": return false
        default: break
        }
        return says(Self.extraPortsAnnotation).isEmpty && says(Self.interLinkPortsAnnotation).isEmpty ? nil : true
    }

    /// How long its gateway may take before it is told of (30 s where nothing, or no duration, is said).
    public var timeout: GoDuration { GoDuration(says(Self.interLinkTimeoutAnnotation)) ?? .seconds(30) }

    /// What its ports are to be, each once and by a name of its own: those of its containers, then the extra ones. At most as many as a
    /// RemoteService has.
    public func exposedPorts() throws(InvalidValue) -> [RemotePort] {
        let extra =
            try RemotePort.list(parsing: says(Self.extraPortsAnnotation))
            + RemotePort.list(parsing: says(Self.interLinkPortsAnnotation))
        return Array(RemotePort.named((ports + extra).filter { !$0.isGateways }).prefix(RemoteService.mostPorts))
    }

    /// Its RemoteService's name: the pod's, cut and told apart by a hash where it is no Service's name.
    public var remoteServiceName: ObjectName {
        let plain = "pod-\(name.name)"
        let fits = plain.utf8.count <= RemoteService.longestName && isDNSLabel(plain)
        let hash = SHA256.digest(of: name.name).description.prefix(8)
        let cut = plain.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }.prefix(RemoteService.longestName - 9)
        return ObjectName(namespace: name.namespace, name: fits ? plain : "\(String(cut))-\(hash)")
    }

    /// What is applied for it.
    public func remoteService(_ spec: RemoteServiceSpec) -> FieldValue {
        let service = RemoteService(
            metadata: ObjectMeta(
                name: remoteServiceName.name, namespace: name.namespace, labels: ["app.kubernetes.io/managed-by": "tidegate"]),
            spec: spec)
        guard case .object(var fields) = service.fieldValue, case .object(var metadata)? = fields["metadata"] else {
            return .null
        }
        metadata["ownerReferences"] = [
            [
                "apiVersion": "v1", "kind": "Pod", "name": .string(name.name), "uid": .string(uid), "controller": true,
                "blockOwnerDeletion": false,
            ]
        ]
        fields["metadata"] = .object(metadata)
        return .object(fields)
    }

    /// The annotations that say how its remote is started, by the entries of the join Secret; those of clients that may not join go.
    public static func commands(_ entries: [String: String]) -> [String: String?] {
        [
            commandAnnotation: entries["tidegate"], wstunnelCommandAnnotation: entries["wstunnel"],
            ratholeCommandAnnotation: entries["client.toml"].map { configuration in
                // What runs it is a shell at the remote: base64 says nothing to it.
                "echo \(encodeBase64(Array(configuration.utf8))) | base64 -d > client.toml && rathole --client client.toml"
            },
        ]
    }
}
