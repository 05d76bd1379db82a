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
