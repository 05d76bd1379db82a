import Documents
import EdgeAPI
import NetworkTypes
import Sodium
import Testing

private func text(_ secret: SecretBytes?) -> String? {
    secret.map { $0.withUnsafeBytes { String(decoding: $0, as: UTF8.self) } }
}

@Suite struct SecretTests {
    @Test func stringDataWinsOverData() throws {
        let decoded = Secret.decode(
            try json(
                """
                {'apiVersion': 'v1', 'kind': 'Secret', 'type': 'Opaque', 'immutable': true, 'metadata': {'name': 's'},
                 'data': {'a': 'b25l', 'b': 'dHdv', 'empty': null}, 'stringData': {'b': 'three'}}
                """))
        #expect(decoded.lines == [])
        #expect(text(decoded.value?.data["a"]) == "one")
        #expect(text(decoded.value?.data["b"]) == "three")
        #expect(decoded.value?.data["empty"]?.count == 0)
    }

    @Test func wrappedBase64IsTaken() throws {
        let decoded = Secret.decode(try json("{'metadata': {'name': 's'}, 'data': {'a': 'b2\\n5l\\n'}}"))
        #expect(text(decoded.value?.data["a"]) == "one")
    }

    /// Somebody else's Secret may have tens of thousands of keys, good and bad, and what they are must not matter.
    @Test func readsChosenPartsAlone() throws {
        let text =
            #"{"metadata": {"name": "s", "managedFields": [{"x": {"y": "]}"}}], "annotations": "#
            + #"{"tunnel.achetronic.com/allow-references-from": "a", "kubectl.kubernetes.io/last-applied-configuration": "\"all\\"}}, "#
            + #""data": {"b": "!", "tls.crt": "b25l", "../": "" } , "type": "Opaque"}"#
        let node = try FieldNode(json: Array(text.utf8), parts: Secret.usedParts)
        let secret = try #require(Secret.decode(node, unknownFields: .ignored).value)
        #expect(Array(secret.data.keys) == ["tls.crt"])
        #expect(secret.metadata.annotations == [APIName.allowReferencesAnnotation: "a"])
        #expect(Secret.decode(try FieldNode(json: Array(text.utf8)), unknownFields: .ignored).value == nil)
    }

    @Test(arguments: ["", "}}", #""x"#, "[1, 2}", #""\"#])
    func whatIsPassedOverMustEnd(text: String) {
        #expect(throws: SyntaxProblem.self) {
            try FieldNode(json: Array(#"{"data": {"a": "#.utf8) + Array(text.utf8), parts: Secret.usedParts)
        }
    }

    /// Every way for a Secret to be wrong, each with the same secret in it.
    @Test(arguments: [
        "{'metadata': {'name': 's'}, 'data': {'a': 'hunter2'}}",
        "{'metadata': {'name': 's'}, 'stringData': 'hunter2'}",
        "{'metadata': {'name': 's'}, 'data': ['hunter2']}",
        "{'metadata': {'name': 's'}, 'data': {'a': {'hunter2': 1}}}",
        "{'metadata': {'name': 's', 'labels': {'a': 'hunter2 '}}}",
        "{'metadata': {'name': 's', 'annotations': 'hunter2'}}",
        "{'metadata': {'name': 's'}, 'datta': {'a': 'hunter2'}}",
        "{'metadata': {'name': 's'}, 'data': {'a': 'eA=='}, 'stringData': {'b': ['hunter2']}}",
    ])
    func noMessageRepeatsAValue(manifest: String) throws {
        let decoded = Secret.decode(try json(manifest))
        #expect(decoded.value == nil)
        #expect(!decoded.problems.isEmpty)
        #expect(!"\(decoded.problems)".contains("hunter2"))
    }

    @Test func numbersAreToldWithoutTheirValue() throws {
        let decoded = Secret.decode(try json("{'metadata': {'name': 's'}, 'stringData': {'pin': 4711}}"))
        #expect(decoded.lines == ["stringData[\"pin\"]: expected a text, given something that is no text (put it in quotes)"])
    }

    @Test func kubectlsCopyInTheAnnotationsIsDropped() throws {
        let decoded = Secret.decode(
            try json(
                "{'metadata': {'name': 's', 'annotations': {'kubectl.kubernetes.io/last-applied-configuration': 'hunter2'}}}"))
        #expect(decoded.value?.metadata.annotations == [:])
        #expect(!"\(decoded)".contains("hunter2"))
    }

    @Test func jsonHoldsAllOfIt() throws {
        let secret = try #require(Secret.decode(try json("{'metadata': {'name': 's'}, 'data': {'a': 'b25l'}}")).value)
        let again = Secret.decode(try FieldNode(json: secret.secretJSON()))
        #expect(again.value == secret)
    }
}

@Suite struct ServiceTests {
    @Test func otherFieldsArePassedOver() throws {
        let decoded = Service.decode(
            try json(
                """
                {'metadata': {'name': 's', 'namespace': 'n'}, 'spec': {'clusterIP': '10.96.0.10', 'selector': {'app': 'x'},
                 'ports': [{'port': 53, 'protocol': 'UDP', 'targetPort': 'dns'}, {'name': 'web', 'port': 80},
                           {'port': 5, 'protocol': 'SCTP'}]}, 'status': {'loadBalancer': {}}}
                """))
        #expect(decoded.lines == [])
        #expect(decoded.value?.clusterIP?.description == "10.96.0.10")
        #expect(
            decoded.value?.ports == [
                ServicePort(protocol: .udp, port: try Port(53)), ServicePort(name: "web", port: try Port(80)),
            ])
    }

    @Test(arguments: [
        ("'clusterIP': 'None'", nil), ("'clusterIP': ''", nil), ("'type': 'ExternalName'", nil), ("'clusterIP': 'fd00::1'", nil),
        ("'clusterIP': 'fd00::1', 'clusterIPs': ['fd00::1', '10.96.0.9']", "10.96.0.9"),
    ])
    func clusterIPs(spec: String, expected: String?) throws {
        let decoded = Service.decode(try json("{'metadata': {'name': 's'}, 'spec': {\(spec)}}"))
        #expect(decoded.lines == [])
        #expect(decoded.value?.clusterIP?.description == expected)
    }
}

@Suite struct EndpointSliceTests {
    @Test func whatIsReadyIsKept() throws {
        let decoded = EndpointSlice.decode(
            try json(
                """
                {'metadata': {'name': 's-x7', 'namespace': 'n', 'labels': {'kubernetes.io/service-name': 's'}},
                 'addressType': 'IPv4', 'ports': [{'name': 'http', 'port': 8080, 'protocol': 'TCP'}, {'name': '', 'port': 53, 'protocol': 'UDP'},
                           {'name': 'all', 'protocol': 'TCP'}],
                 'endpoints': [{'addresses': ['10.244.1.7'], 'conditions': {'ready': true, 'serving': true}, 'nodeName': 'a'},
                               {'addresses': ['10.244.1.8'], 'conditions': {'ready': false}}, {'addresses': ['10.244.1.9']},
                               {'addresses': ['127.0.0.1']}, {'addresses': []}]}
                """))
        #expect(decoded.lines == [])
        #expect(decoded.value?.service == ObjectName(namespace: "n", name: "s"))
        #expect(decoded.value?.ready.map(\.description) == ["10.244.1.7", "10.244.1.9"])
        #expect(
            decoded.value?.ports == [
                ServicePort(name: "http", port: try Port(8080)), ServicePort(protocol: .udp, port: try Port(53)),
            ])
    }

    @Test func anotherFamilyHoldsNothing() throws {
        let text =
            "{'metadata': {'namespace': 'n'}, 'addressType': 'FQDN', 'endpoints': [{'addresses': ['a.b']}], 'ports': [{'port': 1}]}"
        let decoded = EndpointSlice.decode(try json(text))
        #expect(decoded.value?.ready == [] && decoded.value?.service == nil)
    }

    @Test(arguments: [
        ("'clusterIP': 'None'", Service.Absence.headless),
        ("'type': 'ExternalName', 'externalName': 'nas.lan'", .external("nas.lan")),
        ("'clusterIP': 'fd00::1'", .onlyIPv6), ("'selector': {'app': 'x'}", .notGiven),
    ])
    func whyAServiceHasNoAddress(spec: String, expected: Service.Absence) throws {
        #expect(Service.decode(try json("{'metadata': {'name': 's'}, 'spec': {\(spec)}}")).value?.absence == expected)
    }
}
