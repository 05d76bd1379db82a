import Documents
import EdgeAPI
import JSON
import NetworkTypes
import NodeDocument

/// The pods of the StatefulSet. Nothing of a document is in here: pods roll only when their own spec changes.
struct UplinkPodTemplate {
    private let names: UplinkNames
    private let spec: EdgeNodeSpec
    private let settings: UplinkPodSettings

    /// Where the document and the keys are mounted; whole folders, since a `subPath` never sees a change.
    private static let configFolder = "/etc/tidegate/config"
    private static let keysFolder = "/etc/tidegate/keys"
    /// Where the image has it.
    private static let program = "/usr/bin/uplink"
    /// Where wireguard-go puts its socket.
    private static let socketFolder = "/var/run/wireguard"
    private static let clientFolder = "/etc/tidegate/client"
    /// Seconds that established connections have, at least.
    private static let leastDrain: Int64 = 15
    /// Seconds that the uplink takes, beyond the drain, to remove everything (`Uplink.timeToEnd`), and some to spare.
    private static let timeToEnd: Int64 = 15
    /// Of pods that need nothing of root's; an ordinary user by no meaning but being none.
    private static let ordinaryUser: Int64 = 65532

    init(_ objects: UplinkObjects) {
        names = objects.names
        spec = objects.node.spec
        settings = objects.settings
    }

    var value: FieldValue {
        [
            "metadata": [
                "labels": .texts(spec.uplink.labels.merging(names.labels) { $1 }),
                "annotations": .texts(spec.uplink.annotations.merging(names.annotations) { $1 }),
            ],
            "spec": .object(podSpec),
        ]
    }

    private var podSpec: FieldMembers {
        var result: FieldMembers = [
            "containers": [.object(container)],
            "volumes": .array(volumes),
            "terminationGracePeriodSeconds": .integer(drain + Self.timeToEnd),
            "affinity": spec.uplink.affinity ?? antiAffinity,
            "nodeSelector": .texts(Self.platform.merging(spec.uplink.nodeSelector) { $1 }),
            // An uplink asks nothing of the API, and needs no variable for each Service of its namespace.
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": .object(podSecurityContext),
        ]
        if !spec.uplink.tolerations.isEmpty { result["tolerations"] = .array(spec.uplink.tolerations) }
        return result
    }

    private var hasClientCertificate: Bool { spec.uplink.clientCertificateSecret != nil }
    private var hasWireGuard: Bool { spec.tunnel.carriers.contains(.wireGuard) }

    private var volumes: [FieldValue] {
        // root's alone, and the container is root: no fsGroup, which would let the group read too. Where it is not root, the files are
        // its group's.
        let keysMode: FieldValue = hasWireGuard ? 0o400 : 0o440
        let shared: [FieldValue] = [
            // Everybody may read it: it holds no secret.
            ["name": "config", "configMap": ["name": .string(names.configMap.name), "defaultMode": 0o444]],
            ["name": "keys", "secret": ["secretName": .string(names.keysSecret.name), "defaultMode": keysMode]],
        ]
        // Without the Secret an uplink starts all the same, and says so.
        let client: [FieldValue] =
            spec.uplink.clientCertificateSecret.map { secret in
                // Of a Secret that somebody names these two alone.
                let items: [FieldValue] = ["tls.crt", "tls.key"].map { ["key": .string($0), "path": .string($0)] }
                return [
                    [
                        "name": "client",
                        "secret": [
                            "secretName": .string(secret), "items": .array(items), "defaultMode": keysMode, "optional": true,
                        ],
                    ]
                ]
            } ?? []
        return shared + client + (hasWireGuard ? [["name": "wireguard", "emptyDir": [:]]] : [])
    }

    private var mounts: [FieldValue] {
        let shared: [FieldValue] = [
            ["name": "config", "mountPath": .string(Self.configFolder), "readOnly": true],
            ["name": "keys", "mountPath": .string(Self.keysFolder), "readOnly": true],
        ]
        let client: FieldValue = ["name": "client", "mountPath": .string(Self.clientFolder), "readOnly": true]
        return shared + (hasClientCertificate ? [client] : [])
            + (hasWireGuard ? [["name": "wireguard", "mountPath": .string(Self.socketFolder)]] : [])
    }

    private var podSecurityContext: FieldMembers {
        var result: FieldMembers = ["seccompProfile": ["type": "RuntimeDefault"]]
        if !hasWireGuard { result["fsGroup"] = .integer(Self.ordinaryUser) }
        return result
    }

    /// What the image is built for; a nodeSelector of the user's goes before.
    private static let platform = ["kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"]

    /// Preferred, not required: on fewer nodes than replicas (Kind has one, and a node may be drained) an uplink beside another
    /// serves, where one that stays Pending helps nobody.
    private var antiAffinity: FieldValue {
        [
            "podAntiAffinity": [
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    [
                        "weight": 100,
                        "podAffinityTerm": [
                            "topologyKey": "kubernetes.io/hostname", "labelSelector": ["matchLabels": .texts(names.selector)],
                        ],
                    ]
                ]
            ]
        ]
    }

    private var container: FieldMembers {
        var result: FieldMembers = [
            "name": "uplink",
            "image": .string(settings.image),
            // A tag that was loaded into the node must do, `latest` too.
            "imagePullPolicy": "IfNotPresent",
            "args": .array(
                [
                    "--config", "\(Self.configFolder)/\(UplinkDocument.fileName)", "--keys", .string(Self.keysFolder),
                    "--status-address", "0.0.0.0", "--probe-address", "0.0.0.0",
                    // Envoy's own pages come through the tunnel alone.
                ] + (hasWireGuard ? ["--bridge-address", "0.0.0.0"] : [])
                    + (hasClientCertificate ? ["--client-certificate", .string(Self.clientFolder)] : []) + [
                        "--drain", "\(drain)s",
                    ]),
            "env": .array(environment),
            "ports": .array(ports),
            // For rollouts and for people: the relay asks each uplink itself, through the tunnel. Every second, and believed at once, so
            // that the pod says within seconds that its tunnel has fallen, or is back. By a port of its own, which no scraper fills;
            // by HTTP, since to start a program every second costs some percent of a core.
            "readinessProbe": [
                "httpGet": ["path": "/ready", "port": .port(.uplinkProbes), "scheme": "HTTP"],
                "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 1,
            ],
            // Says only that the process moves: a tunnel that is down mends itself better than a restart would. By no port: what comes
            // from outside, however much, must never get a pod killed that carries traffic.
            "livenessProbe": [
                "exec": ["command": [.string(Self.program), "healthz"]],
                "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6,
            ],
            "volumeMounts": .array(mounts),
            "securityContext": securityContext,
            // What a crash leaves on standard error shows in `kubectl describe`.
            "terminationMessagePolicy": "FallbackToLogsOnError",
        ]
        if let resources = spec.uplink.resources { result["resources"] = resources }
        return result
    }

    private var ports: [FieldValue] {
        let bridge: [FieldValue] = [["name": "envoy", "containerPort": .port(.envoyBridge), "protocol": "TCP"]]
        return [["name": "status", "containerPort": .port(.uplinkReadiness), "protocol": "TCP"]] + (hasWireGuard ? bridge : [])
            + [["name": "probes", "containerPort": .port(.uplinkProbes), "protocol": "TCP"]]
    }

    /// Of the Secret that the EdgeNode names; the password is in no other object.
    private var proxy: [FieldValue] {
        guard let secret = spec.uplink.proxySecret else { return [] }
        func entry(_ key: String, isOptional: Bool) -> FieldValue {
            var reference: FieldMembers = ["name": .string(secret), "key": .string(key)]
            if isOptional { reference["optional"] = true }
            return ["name": .string(key), "valueFrom": ["secretKeyRef": .object(reference)]]
        }
        return [entry("HTTPS_PROXY", isOptional: false), entry("NO_PROXY", isOptional: true)]
    }

    private var environment: [FieldValue] {
        let fixed = settings.environment.filter { $0.key != "POD_NAME" }.sorted { $0.key < $1.key }.map { name, value in
            FieldValue.object(["name": .string(name), "value": .string(value)])
        }
        return [["name": "POD_NAME", "valueFrom": ["fieldRef": ["fieldPath": "metadata.name"]]]] + fixed + proxy
    }

    /// NET_ADMIN for WireGuard, nftables, addresses and routes. MKNOD where the kernel has no WireGuard: wireguard-go needs
    /// /dev/net/tun, which runtimes let a container use but do not put into its /dev; a hostPath volume of a device that is not
    /// there would hold up the pod, or make a folder of that name on the node.
    ///
    /// root because Kubernetes gives capabilities to no other user; without DAC_OVERRIDE it reads only what is its own. Links need none of
    /// all that: what the standard `restricted` of Pod Security asks for.
    private var securityContext: FieldValue {
        guard hasWireGuard else {
            return [
                "runAsUser": .integer(Self.ordinaryUser), "runAsGroup": .integer(Self.ordinaryUser), "runAsNonRoot": true,
                "privileged": false, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": ["drop": ["ALL"]],
            ]
        }
        return [
            "runAsUser": 0, "runAsGroup": 0, "runAsNonRoot": false,
            "privileged": false, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": ["drop": ["ALL"], "add": .array(["NET_ADMIN"] + (settings.makesDevices ? ["MKNOD"] : []))],
        ]
    }

    /// Seconds from SIGTERM, when `/ready` says 503, to the tunnel's end. Envoy looks within an interval (and a tenth, its
    /// jitter) and takes an uplink that says 503 out at once; what it sent until then has five more seconds.
    private var drain: Int64 {
        let check = spec.edge.healthCheck
        return max(Self.leastDrain, wholeSeconds(check.interval.nanoseconds / 10 * 11 + check.timeout.nanoseconds) + 5)
    }
}
