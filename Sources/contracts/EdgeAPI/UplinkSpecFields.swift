import Documents
import JSON
import NetworkTypes

extension UplinkSpec {
    /// Set by the controller on every uplink pod, which are found by it.
    private static let ownLabel = "app.kubernetes.io/name"
    /// Of what is passed on unread: it is kept for as long as the EdgeNode, and a small text can stand for many values.
    private static let mostValues = 2000
    private static let mostTolerations = 100

    init(_ field: Field) {
        self.init()
        guard let fields = field.mapping() else { return }
        namespace = fields["namespace"].string("a DNS label", where: isDNSLabel) ?? namespace
        replicas = fields["replicas"].integer(1...253) ?? replicas
        labels =
            fields["labels"].strings { key, value in
                key == Self.ownLabel ? "is set by Tidegate itself; remove it" : labelProblem(key: key, value: value)
            } ?? [:]
        annotations = fields["annotations"].strings(annotationProblem) ?? [:]
        nodeSelector = fields["nodeSelector"].strings(labelProblem) ?? [:]
        resources = fields["resources"].mappingValue(most: Self.mostValues)
        affinity = fields["affinity"].mappingValue(most: Self.mostValues)
        tolerations = Self.tolerations(fields["tolerations"])
        proxySecret = Self.secretName(fields["proxySecretRef"], "the Secret with HTTPS_PROXY")
        clientCertificateSecret = Self.secretName(fields["clientCertificateSecretRef"], "the Secret with tls.crt and tls.key")
        fields.finish()
    }

    /// Of a Secret beside the uplinks.
    private static func secretName(_ field: Field, _ what: String) -> String? {
        guard let reference = field.mapping() else { return nil }
        defer { reference.finish() }
        return reference["name"].required(what).string("a Secret's name, a DNS name", where: isDNSName)
    }

    private static func tolerations(_ field: Field) -> [FieldValue] {
        if case .sequence(let nodes)? = field.node?.content, nodes.count > mostTolerations {
            field.fail("expected at most \(mostTolerations) tolerations, given \(nodes.count)")
            return []
        }
        return field.sequence()?.compactMap { $0.mappingValue(most: mostValues) } ?? []
    }

    var fieldValue: FieldValue {
        .fields([
            "namespace": .string(namespace),
            "replicas": .integer(replicas),
            "labels": labels.isEmpty ? nil : .texts(labels),
            "annotations": annotations.isEmpty ? nil : .texts(annotations),
            "nodeSelector": nodeSelector.isEmpty ? nil : .texts(nodeSelector),
            "resources": resources,
            "affinity": affinity,
            "tolerations": tolerations.isEmpty ? nil : .array(tolerations),
            "proxySecretRef": proxySecret.map { .fields(["name": .string($0)]) },
            "clientCertificateSecretRef": clientCertificateSecret.map { .fields(["name": .string($0)]) },
        ])
    }
}
