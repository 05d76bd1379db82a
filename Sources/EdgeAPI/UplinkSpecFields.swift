internal import NetworkTypes

extension UplinkSpec {
    /// Set by the controller on every uplink pod, which are found by it.
    private static let ownLabel = "app.kubernetes.io/name"

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
        resources = fields["resources"].mappingValue()
        affinity = fields["affinity"].mappingValue()
        tolerations = fields["tolerations"].sequence()?.compactMap { $0.mappingValue() } ?? []
        fields.finish()
    }

    var fieldValue: FieldValue {
        .fields([
            "namespace": .string(namespace),
            "replicas": .integer(replicas),
            "labels": .texts(labels),
            "annotations": .texts(annotations),
            "nodeSelector": .texts(nodeSelector),
            "resources": resources,
            "affinity": affinity,
            "tolerations": tolerations.isEmpty ? nil : .array(tolerations),
        ])
    }
}
