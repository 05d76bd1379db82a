public import EdgeAPI
public import JSON
public import KubernetesAPI
public import NetworkTypes
import NodeDocument
public import Sodium

/// What the uplinks' pods are made with, the same for every EdgeNode.
public struct UplinkPodSettings: Hashable, Sendable {
    /// With registry and tag.
    public var image: String
    /// Set in the container; `LOG_FORMAT` and `LOG_LEVEL` as the controller has them, say. Changing it rolls the pods.
    public var environment: [String: String]
    /// Whether the pods may make /dev/net/tun, which wireguard-go needs. Changing it rolls the pods.
    public var makesDevices: Bool

    public init(image: String, environment: [String: String] = [:], makesDevices: Bool = true) {
        self.image = image
        self.environment = environment
        self.makesDevices = makesDevices
    }
}

/// One object as it should be.
public struct UplinkObject: Hashable, Sendable {
    public var resource: APIResource
    public var name: ObjectName
    /// For server-side apply; nil where the object must not be.
    public var value: FieldValue?

    public init(_ resource: APIResource, _ name: ObjectName, _ value: FieldValue?) {
        self.resource = resource
        self.name = name
        self.value = value
    }
}

/// The objects of an EdgeNode's uplinks but for the Secret of their keys, see `UplinkKeys`.
public struct UplinkObjects: Sendable {
    /// Bytes of all values of a ConfigMap together (`MaxSecretSize` of core/v1, which holds for both).
    static let configMapLimit = 1 << 20
    public let node: EdgeNode
    public let names: UplinkNames
    let settings: UplinkPodSettings

    /// - Parameter names: nil for the plain ones.
    public init(of node: EdgeNode, _ settings: UplinkPodSettings, names: UplinkNames? = nil) {
        self.node = node
        self.settings = settings
        self.names = names ?? UplinkNames(of: node)
    }

    /// All but the ConfigMap, in the order of their making: what changes with the EdgeNode's spec alone.
    public func workload() -> [UplinkObject] {
        [
            UplinkObject(.services, names.service, service()),
            UplinkObject(.podDisruptionBudgets, names.podDisruptionBudget, podDisruptionBudget()),
            UplinkObject(.statefulSets, names.statefulSet, statefulSet()),
        ]
    }

    /// The uplinks' document.
    /// - Parameters:
    ///   - document: JSON.
    ///   - hash: the document's own.
    /// - Throws: `documentTooLarge`.
    public func configMap(document: [UInt8], hash: SHA256Digest) throws(UplinkWorkloadError) -> UplinkObject {
        guard document.count <= Self.configMapLimit else { throw .documentTooLarge(names.configMap, bytes: document.count) }
        let head = names.head(
            .configMaps, names.configMap, annotations: [UplinkNames.configHashAnnotation: hash.description])
        let data: FieldValue = .object([UplinkDocument.fileName: .string(String(decoding: document, as: UTF8.self))])
        return UplinkObject(.configMaps, names.configMap, .object(head.merging(["data": data])))
    }

    /// The merge patch that makes a pod's kubelet look at its ConfigMap and Secret at once, not within its minute.
    public static func podPatch(hash: SHA256Digest) -> FieldValue {
        ["metadata": ["annotations": .texts([UplinkNames.configHashAnnotation: hash.description])]]
    }

    /// The same for a new key of the pod's own.
    public static func podPatch(key: WireGuardPublicKey) -> FieldValue {
        ["metadata": ["annotations": .texts([UplinkNames.publicKeyAnnotation: key.description])]]
    }

    /// Gives the pods their names in the DNS, and monitoring the ports to scrape.
    func service() -> FieldValue {
        object(
            .services, names.service,
            [
                "spec": [
                    "clusterIP": "None",
                    "selector": .texts(names.selector),
                    // An uplink that is not ready is just the one to look at.
                    "publishNotReadyAddresses": true,
                    "ports": [
                        [
                            "name": "status", "protocol": "TCP", "port": .port(.uplinkReadiness),
                            "targetPort": .port(.uplinkReadiness),
                        ],
                        ["name": "envoy", "protocol": "TCP", "port": .port(.envoyBridge), "targetPort": .port(.envoyBridge)],
                    ],
                ]
            ])
    }

    /// Nil below two replicas: a budget on one pod would only hold up the draining of its node.
    func podDisruptionBudget() -> FieldValue? {
        guard node.spec.uplink.replicas >= 2 else { return nil }
        return object(
            .podDisruptionBudgets, names.podDisruptionBudget,
            [
                "spec": [
                    "maxUnavailable": 1,
                    "selector": ["matchLabels": .texts(names.selector)],
                    // With the VPS away no uplink is ready; that must not keep nodes from being drained.
                    "unhealthyPodEvictionPolicy": "AlwaysAllow",
                ]
            ])
    }

    func statefulSet() -> FieldValue {
        object(
            .statefulSets, names.statefulSet,
            [
                "spec": [
                    // These three are immutable.
                    "serviceName": .string(names.service.name),
                    "selector": ["matchLabels": .texts(names.selector)],
                    // No uplink waits for another: with the VPS away none would ever be started after the first.
                    "podManagementPolicy": "Parallel",
                    "replicas": .integer(node.spec.uplink.replicas),
                    "updateStrategy": ["type": "RollingUpdate"],
                    "minReadySeconds": .integer(secondsUntilUsed),
                    "template": UplinkPodTemplate(self).value,
                ]
            ])
    }

    /// From an uplink's being ready until Envoy sends traffic to it again: it asks those that are out every second (or as often
    /// as all, when that is oftener), `healthyThreshold` times. The next replica is not stopped before.
    private var secondsUntilUsed: Int64 {
        let check = node.spec.edge.healthCheck
        let interval = min(check.interval, .seconds(1)).nanoseconds
        return wholeSeconds(interval * Int64(check.healthyThreshold + 1) + check.timeout.nanoseconds)
    }

    private func object(_ resource: APIResource, _ name: ObjectName, _ content: FieldMembers) -> FieldValue {
        .object(content.merging(names.head(resource, name)))
    }
}

extension UplinkNames {
    /// `apiVersion`, `kind` and `metadata` of an object of ours.
    func head(_ resource: APIResource, _ name: ObjectName, annotations extra: [String: String] = [:]) -> FieldMembers {
        [
            "apiVersion": .string(resource.apiVersion),
            "kind": .string(resource.kind),
            "metadata": [
                "name": .string(name.name), "namespace": .string(name.namespace), "labels": .texts(labels),
                "annotations": .texts(annotations.merging(extra) { $1 }),
            ],
        ]
    }
}

/// Rounded up.
func wholeSeconds(_ nanoseconds: Int64) -> Int64 { (nanoseconds + 999_999_999) / 1_000_000_000 }
