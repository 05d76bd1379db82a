import Documents
import JSON
import NetworkTypes

extension ObjectMeta {
    /// Reads `metadata`.
    /// - Parameter isName: whether a text can be the object's name; `expected` says what one looks like.
    init?(_ field: Field, kind: String, expected: String, where isName: (String) -> Bool) {
        guard let fields = field.required("with the object's name").mapping() else { return nil }
        let namespace = fields.shown("namespace").string("a DNS label", where: { $0.isEmpty || isDNSLabel($0) })
        let name = fields.shown("name").required("the object's name").string(expected, where: isName)
        self.init(name: name ?? "", namespace: namespace.flatMap { $0.isEmpty ? nil : $0 } ?? "default")
        field.log.object = "\(kind) \(self.namespace)/\(name ?? "?")"
        uid = fields["uid"].string() ?? ""
        resourceVersion = fields["resourceVersion"].string() ?? ""
        generation = fields["generation"].integer(0...Int64.max).map(Int64.init) ?? 0
        creationTimestamp = fields["creationTimestamp"].string("a time such as 2026-01-02T15:04:05Z", where: isTimestamp) ?? ""
        deletionTimestamp = fields["deletionTimestamp"].string("a time such as 2026-01-02T15:04:05Z", where: isTimestamp)
        labels = fields["labels"].strings(labelProblem) ?? [:]
        annotations = fields["annotations"].strings(annotationProblem) ?? [:]
        finalizers = fields["finalizers"].sequence()?.compactMap { $0.string() } ?? []
        fields.pass("deletionGracePeriodSeconds", "generateName", "managedFields", "ownerReferences", "selfLink")
        fields.finish()
        if name == nil { return nil }
    }

    var fieldValue: FieldValue {
        .fields([
            "name": .string(name),
            "namespace": .string(namespace),
            "uid": uid.isEmpty ? nil : .string(uid),
            "resourceVersion": resourceVersion.isEmpty ? nil : .string(resourceVersion),
            "generation": generation == 0 ? nil : .integer(generation),
            "creationTimestamp": creationTimestamp.isEmpty ? nil : .string(creationTimestamp),
            "deletionTimestamp": deletionTimestamp.map { .string($0) },
            "labels": labels.isEmpty ? nil : .texts(labels),
            "annotations": annotations.isEmpty ? nil : .texts(annotations),
            "finalizers": finalizers.isEmpty ? nil : .array(finalizers.map { .string($0) }),
        ])
    }
}

extension NamespacedReference {
    init?(secret field: Field) {
        guard let fields = field.mapping() else { return nil }
        let name = fields["name"].required("the Secret's name").string("a Secret's name, a DNS name", where: isDNSName)
        let namespace = fields["namespace"].string("a DNS label", where: isDNSLabel)
        fields.finish()
        guard let name else { return nil }
        self.init(name: name, namespace: namespace)
    }

    var fieldValue: FieldValue { .fields(["name": .string(name), "namespace": namespace.map { .string($0) }]) }
}
