import Documents
import EdgeAPI
import JSON
import NetworkTypes
import Testing

/// The Swift types and the definitions have the same fields, defaults and values to choose from.
@Suite struct FieldsTests {
    @Test(arguments: Definition.all)
    func bothHaveTheSameFields(plural: String) throws {
        let (definition, full) = try definitionAndFullObject(plural)
        let fields = definition.fields
        var leaves = Definition.opaque
        for (path, schema) in fields where schema["additionalProperties"] != nil { leaves.insert(path) }
        var written: Set<String> = []
        for part in ["spec", "status"] {
            written.formUnion(try #require(full[part]).paths(stoppingAt: leaves, from: part))
        }
        #expect(written.subtracting(fields.keys).sorted() == [], "the definition lacks these")
        #expect(Set(fields.keys).subtracting(written).sorted() == [], "the Swift types lack these")
        #expect(refusals(try withoutRivals(full, of: "")) == [])
    }

    @Test(arguments: Definition.all)
    func whatSwiftReadsIsOfTheSchemasType(plural: String) throws {
        let (definition, full) = try definitionAndFullObject(plural)
        for (path, schema) in definition.fields {
            let value = try #require(full.value(at: path[...]))
            if schema["x-kubernetes-int-or-string"] == .bool(true) {
                #expect(["integer", "string"].contains(typeName(of: value)), "\(path)")
            } else {
                #expect(typeName(of: value) == schema["type"]?.text, "\(path)")
            }
        }
    }

    private func typeName(of value: FieldValue) -> String {
        switch value {
        case .null: "null"
        case .bool: "boolean"
        case .integer: "integer"
        case .number: "number"
        case .string: "string"
        case .array: "array"
        case .object: "object"
        }
    }

    /// What Swift fills in where a field is absent.
    @Test func edgeNodeDefaults() throws {
        let definition = try Definition(Definition.edgeNode)
        // Of a list the default is the list's.
        let given: Set = ["spec.address", "spec.ssh.secretRef.name", "spec.tunnel.carriers[]"]
        let least = try #require(
            EdgeNode.decode(
                FieldNode(
                    value: .object([
                        "metadata": .object(["name": .string("edge")]),
                        "spec": .object([
                            "address": .string("203.0.113.10"),
                            "ssh": .object(["secretRef": .object(["name": .string("vps")])]),
                        ]),
                    ]))
            ).value)
        try expectSameDefaults(definition, filledIn: least.fieldValue, given: given)
    }

    @Test func bindingDefaults() throws {
        let definition = try Definition(Definition.portBinding)
        let target: FieldValue = .object(["address": .string("10.0.0.1"), "port": .integer(80)])
        func binding(_ name: String, _ transport: String) -> FieldValue {
            .object([
                "name": .string(name), "protocol": .string(transport), "listenPort": .integer(80), "target": target,
                transport.lowercased(): .object([:]),
            ])
        }
        let least = try #require(
            PortBinding.decode(
                FieldNode(
                    value: .object([
                        "metadata": .object(["name": .string("web")]),
                        "spec": .object([
                            "edgeNodeRef": .object(["name": .string("edge")]),
                            "bindings": .array([binding("a", "TCP"), binding("b", "UDP")]),
                        ]),
                    ]))
            ).value)
        // proxyProtocol has no default in the schema: `proxyProtocolVersion: V2` alone turns it on, which false would
        // contradict.
        let given = Set(
            ["name", "protocol", "listenPort", "target.address", "target.port", "tcp.proxyProtocol"].map {
                "spec.bindings[].\($0)"
            }
        ).union(["spec.edgeNodeRef.name"])
        try expectSameDefaults(definition, filledIn: least.fieldValue, given: given)
    }

    private func expectSameDefaults(_ definition: Definition, filledIn: FieldValue, given: Set<String>) throws {
        let spec = try #require(filledIn["spec"])
        let fields = definition.fields.filter { !["object", "array"].contains($0.value["type"]?.text ?? "") }
        for path in spec.paths(stoppingAt: [], from: "spec") where fields[path] != nil && !given.contains(path) {
            let ours = try #require(filledIn.value(at: path[...]))
            let theirs = try #require(fields[path]?["default"], "\(path) has no default in the schema, in Swift \(ours.json)")
            #expect(sameValue(ours, theirs), "\(path) is \(ours.json) in Swift, \(theirs.json) in the schema")
        }
        for (path, schema) in fields where schema["default"] != nil {
            #expect(filledIn.value(at: path[...]) != nil, "Swift fills no \(path) in, but the schema does")
        }
        // A default counts only where everything above it is filled in too.
        for (path, schema) in definition.fields where schema["default"] != nil {
            var above = path.split(separator: ".").dropLast()
            while let name = above.popLast(), !above.isEmpty {
                let parent = (above + [name]).joined(separator: ".")
                let isThere =
                    given.contains { $0.hasPrefix(parent) } || parent.hasSuffix("]") || parent.hasSuffix(".tcp")
                    || parent.hasSuffix(".udp")
                #expect(isThere || definition.fields[parent]?["default"] != nil, "\(path) has a default, \(parent) has none")
            }
        }
    }

    /// Durations may be written in several ways: 15m is 15m0s.
    private func sameValue(_ a: FieldValue, _ b: FieldValue) -> Bool {
        if let a = a.text.flatMap({ GoDuration($0) }), let b = b.text.flatMap({ GoDuration($0) }) { return a == b }
        return a == b
    }

    @Test func bothHaveTheSameChoices() throws {
        let expected: [String: [String: [String]]] = [
            Definition.edgeNode: [
                "spec.edge.bridge": BridgeAccess.allCases.map(\.rawValue),
                "spec.tunnel.carriers[]": TunnelCarrier.allCases.map(\.rawValue),
                "status.conditions[].status": ["True", "False", "Unknown"],
            ],
            Definition.portBinding: [
                "spec.bindings[].protocol": TransportProtocol.allCases.map(\.rawValue),
                "spec.bindings[].target.service.resolve": ServiceResolution.allCases.map(\.rawValue),
                "spec.bindings[].tcp.proxyProtocolVersion": ProxyProtocolVersion.allCases.map(\.rawValue),
                "spec.bindings[].tls.mode": TLSOptions.Mode.names,
                "status.bindings[].reason": BindingStatus.Reason.allCases.map(\.rawValue),
                "status.conditions[].status": ["True", "False", "Unknown"],
            ],
        ]
        for (plural, choices) in expected {
            let fields = try Definition(plural).fields
            #expect(fields.compactMapValues { $0["enum"]?.texts } == choices)
        }
    }

    @Test func requiredInTheSchemaIsRequiredInSwift() throws {
        for plural in Definition.all {
            let (definition, full) = try definitionAndFullObject(plural)
            for (path, schema) in definition.fields where path.hasPrefix("spec") {
                for name in schema["required"]?.texts ?? [] {
                    let without = try #require(full.replacing("\(path).\(name)", with: .null))
                    #expect(refusals(without) != [], "Swift takes an object without \(path).\(name)")
                }
            }
        }
    }
}
