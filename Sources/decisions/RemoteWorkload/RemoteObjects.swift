public import EdgeAPI
public import JSON
public import KubernetesAPI
import NetworkTypes
import NodeDocument
import RemoteDocuments
public import Sodium

/// The objects of a RemoteService as they should be.
public struct RemoteObjects: Sendable {
    /// One of them; `value` is nil where it must not be.
    public struct Object: Sendable {
        public let resource: APIResource
        public let name: ObjectName
        public let value: FieldValue?
    }

    public let service: RemoteService
    public let names: RemoteNames
    private let image: String
    private let environment: [String: String]
    private let makesDevices: Bool

    private static let folder = "/etc/tidegate/gateway"
    private static let user: Int64 = 65532
    /// Where wireguard-go puts its socket.
    private static let socketFolder = "/var/run/wireguard"
    /// Of the Secret's volume: the user's group reads.
    private static let fileMode: Int64 = 0o440

    /// - Parameters:
    ///   - image: the uplinks', which is the gateway's too.
    ///   - environment: `LOG_FORMAT` and `LOG_LEVEL` as the controller has them, say.
    ///   - makesDevices: whether a gateway with a mesh gets CAP_MKNOD, for kernels without WireGuard.
    public init(of service: RemoteService, image: String, environment: [String: String], makesDevices: Bool = true) {
        self.service = service
        self.image = image
        self.environment = environment
        self.makesDevices = makesDevices
        names = RemoteNames(of: service.metadata.objectName)
    }

    public func gatewaySecret(_ secrets: RemoteSecrets) throws -> Object {
        let data = try secrets.data(with: try service.gatewayDocument(secrets))
        return object(.secrets, names.gatewaySecret, ["type": "Opaque", "data": data])
    }

    public func joinSecret(_ entries: [String: String]) -> Object {
        object(
            .secrets, names.joinSecret, ["type": "Opaque", "data": .texts(entries.mapValues { encodeBase64(Array($0.utf8)) })])
    }

    /// All that lasts, in the order of their making.
    /// - Parameters:
    ///   - host: where the Ingress leads from; nil where it is not known, or none is wanted.
    ///   - gatewayKey: with another one there are other pods, for a gateway has its key for life.
    public func workload(host: String?, gatewayKey: SHA256Digest) -> [Object] {
        var result = [
            object(.services, names.service, ["spec": serviceSpec]),
            object(.deployments, names.deployment, ["spec": deploymentSpec(gatewayKey)]),
        ]
        switch service.spec.gateway.entrance {
        case .ingress(let ingress):
            let certificate = ingress.issuer.flatMap { issuer in host.map { certificateSpec(issuer, $0) } }
            if let certificate { result.append(object(.certificates, names.certificate, ["spec": certificate])) }
            result.append(
                host.map { object(.ingresses, names.ingress, ingressFields(ingress, $0)) } ?? absent(.ingresses, names.ingress))
            result.append(absent(.portBindings, names.portBinding))
        case .edgeNode(let node, let port):
            result.append(object(.portBindings, names.portBinding, ["spec": portBindingSpec(node, port)]))
            result.append(absent(.ingresses, names.ingress))
        }
        return result
    }

    private func absent(_ resource: APIResource, _ name: ObjectName) -> Object {
        Object(resource: resource, name: name, value: nil)
    }

    private func object(_ resource: APIResource, _ name: ObjectName, _ fields: FieldMembers) -> Object {
        let owner: FieldValue = [
            "apiVersion": .string(APIName.groupVersion), "kind": .string(RemoteService.kind),
            "name": .string(service.metadata.name),
            "uid": .string(service.metadata.uid), "controller": true, "blockOwnerDeletion": true,
        ]
        let metadata: FieldValue = [
            "name": .string(name.name), "namespace": .string(name.namespace), "labels": .texts(names.labels),
            "ownerReferences": [owner],
        ]
        let head: FieldMembers = [
            "apiVersion": .string(resource.apiVersion), "kind": .string(resource.kind), "metadata": metadata,
        ]
        var annotated = head
        if let annotations = fields["annotations"], case .object(var members) = metadata {
            members["annotations"] = annotations
            annotated["metadata"] = .object(members)
        }
        var rest = fields
        rest["annotations"] = nil
        return Object(resource: resource, name: name, value: .object(annotated.merging(rest)))
    }

    // MARK: Service

    private var serviceSpec: FieldValue {
        let ports = service.spec.ports.map { port -> FieldValue in
            [
                "name": .string(port.name), "protocol": .text(port.protocol), "port": .port(port.port),
                "targetPort": .port(port.port),
            ]
        }
        // The remote comes in and the controller asks by these.
        let own: [FieldValue] = [
            ["name": "tidegate-gateway", "protocol": "TCP", "port": .port(.gateway), "targetPort": .port(.gateway)],
            ["name": "tidegate-status", "protocol": "TCP", "port": .port(.gatewayStatus), "targetPort": .port(.gatewayStatus)],
        ]
        return ["type": "ClusterIP", "selector": .texts(names.selector), "ports": .array(ports + own)]
    }

    // MARK: Deployment

    /// The pin of the gateway's key, in the template of its pods.
    private static let gatewayKeyAnnotation = "tunnel.achetronic.com/gateway-key"

    private func deploymentSpec(_ gatewayKey: SHA256Digest) -> FieldValue {
        [
            "replicas": 1,
            "selector": ["matchLabels": .texts(names.selector)],
            // The next one serves before the former ends.
            "strategy": ["type": "RollingUpdate", "rollingUpdate": ["maxSurge": 1, "maxUnavailable": 0]],
            "revisionHistoryLimit": 1,
            "template": [
                "metadata": [
                    "labels": .texts(names.labels), "annotations": .texts([Self.gatewayKeyAnnotation: gatewayKey.description]),
                ],
                "spec": podSpec,
            ],
        ]
    }

    private var hasMesh: Bool { service.spec.mesh != nil }

    /// root because Kubernetes gives capabilities to no other user, and a mesh has an interface, routes and rules (as uplinks by WireGuard have).
    private var userFields: FieldMembers {
        hasMesh
            ? ["runAsNonRoot": false, "runAsUser": 0, "runAsGroup": 0]
            : ["runAsNonRoot": true, "runAsUser": .integer(Self.user), "runAsGroup": .integer(Self.user)]
    }

    private var capabilities: FieldValue {
        guard hasMesh else { return ["drop": ["ALL"]] }
        return ["drop": ["ALL"], "add": .array(["NET_ADMIN"] + (makesDevices ? ["MKNOD"] : []))]
    }

    private var podSpec: FieldValue {
        // The remote's own key is not the gateway's business.
        let files = [GatewayDocument.fileName, GatewayDocument.keyName, GatewayDocument.passwordName, GatewayDocument.pathName]
        let volume: FieldValue = [
            "name": "gateway",
            "secret": [
                "secretName": .string(names.gatewaySecret.name), "defaultMode": .integer(Self.fileMode),
                "items": .array(files.map { ["key": .string($0), "path": .string($0)] }),
            ],
        ]
        return [
            "automountServiceAccountToken": false, "enableServiceLinks": false, "terminationGracePeriodSeconds": 35,
            "nodeSelector": ["kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"],
            "securityContext": .object(
                userFields.merging([
                    "fsGroup": hasMesh ? 0 : .integer(Self.user), "seccompProfile": ["type": "RuntimeDefault"],
                    // A service's ports may be below 1024. A safe sysctl (Kubernetes 1.22), of the pod's own network.
                    "sysctls": [["name": "net.ipv4.ip_unprivileged_port_start", "value": "0"]],
                ])),
            "containers": [container],
            "volumes": .array([volume] + (hasMesh ? [["name": "wireguard", "emptyDir": [:]]] : [])),
        ]
    }

    private var container: FieldValue {
        [
            "name": "gateway", "image": .string(image), "imagePullPolicy": "IfNotPresent",
            "args": ["gateway", "--config", .string(Self.folder)],
            "env": .array(
                environment.sorted { $0.key < $1.key }.map { ["name": .string($0.key), "value": .string($0.value)] }),
            "ports": [
                ["name": "gateway", "containerPort": .port(.gateway), "protocol": "TCP"],
                ["name": "status", "containerPort": .port(.gatewayStatus), "protocol": "TCP"],
            ],
            "readinessProbe": [
                "httpGet": ["path": "/ready", "port": .port(.gatewayStatus), "scheme": "HTTP"], "periodSeconds": 2,
                "timeoutSeconds": 2, "failureThreshold": 2,
            ],
            "resources": ["requests": ["cpu": "10m", "memory": "32Mi"], "limits": ["memory": "512Mi"]],
            "volumeMounts": .array(
                [["name": "gateway", "mountPath": .string(Self.folder), "readOnly": true]]
                    + (hasMesh ? [["name": "wireguard", "mountPath": .string(Self.socketFolder)]] : [])),
            "securityContext": [
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "privileged": false,
                "capabilities": capabilities,
            ],
            "terminationMessagePolicy": "FallbackToLogsOnError",
        ]
    }

    // MARK: entrances

    /// Long waits are usual: a client of wstunnel asks, and is answered when somebody comes.
    private static let annotations: [String: String] = [
        "nginx.ingress.kubernetes.io/proxy-read-timeout": "3600", "nginx.ingress.kubernetes.io/proxy-send-timeout": "3600",
        "nginx.ingress.kubernetes.io/ssl-redirect": "false",
    ]

    private func ingressFields(_ ingress: RemoteIngress, _ host: String) -> FieldMembers {
        let backend: FieldValue = ["service": ["name": .string(names.service.name), "port": ["number": .port(.gateway)]]]
        var spec: FieldMembers = [
            "rules": [
                ["host": .string(host), "http": ["paths": [["path": "/", "pathType": "Prefix", "backend": backend]]]]
            ]
        ]
        if let name = ingress.className { spec["ingressClassName"] = .string(name) }
        if ingress.hasTLS {
            let secret = ingress.tlsSecretName ?? names.certificate.name
            spec["tls"] = [["hosts": [.string(host)], "secretName": .string(secret)]]
        }
        return ["annotations": .texts(Self.annotations), "spec": .object(spec)]
    }

    private func certificateSpec(_ issuer: RemoteIngress.Issuer, _ host: String) -> FieldValue {
        [
            "secretName": .string(names.certificate.name), "dnsNames": [.string(host)],
            "issuerRef": ["group": "cert-manager.io", "kind": .string(issuer.kind), "name": .string(issuer.name)],
        ]
    }

    private func portBindingSpec(_ node: String, _ port: Port) -> FieldValue {
        [
            "edgeNodeRef": ["name": .string(node)],
            "bindings": [
                [
                    "name": .string("rs-\(names.remoteService.name)"), "protocol": "TCP", "listenPort": .port(port),
                    "target": ["service": ["name": .string(names.service.name), "port": .port(.gateway)]],
                ]
            ],
        ]
    }
}

extension APIResource {
    public static let deployments = APIResource(group: "apps", version: "v1", kind: "Deployment", plural: "deployments")
    public static let ingresses = APIResource(group: "networking.k8s.io", version: "v1", kind: "Ingress", plural: "ingresses")
    /// Of cert-manager; clusters without it have none.
    public static let certificates = APIResource(
        group: "cert-manager.io", version: "v1", kind: "Certificate", plural: "certificates")
    public static let remoteServices = APIResource(
        group: APIName.group, version: APIName.version, kind: RemoteService.kind, plural: "remoteservices")
}
