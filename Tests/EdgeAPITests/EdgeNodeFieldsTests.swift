import Documents
import EdgeAPI
import JSON
import NetworkTypes
import Testing

@Suite struct EdgeNodeFieldsTests {
    @Test func defaultsAreThoseOfTheSpecification() throws {
        let decoded = try edgeNode(spec: "{'address': '203.0.113.10', 'ssh': {'secretRef': {'name': 'vps'}}}")
        #expect(decoded.lines == [])
        let node = try #require(decoded.value)
        #expect(node.metadata.namespace == "default")
        #expect(node.spec.ssh.port == .ssh)
        #expect(node.spec.ssh.user == "root")
        #expect(node.spec.ssh.connectTimeout == .seconds(30))
        #expect(node.spec.ssh.insecureSkipHostKeyVerification == false)
        #expect(node.spec.ssh.secretRef.objectName(in: node.metadata) == ObjectName(namespace: "default", name: "vps"))
        #expect(node.spec.tunnel.listenPort.number == 51821)
        #expect(node.spec.tunnel.network.description == "10.200.0.0/24")
        #expect(node.spec.tunnel.mtu == 1420)
        #expect(node.spec.tunnel.persistentKeepalive == 25)
        #expect(node.spec.uplink.namespace == "tunnel")
        #expect(node.spec.uplink.replicas == 1)
        #expect(node.spec.edge.healthCheck.interval == .seconds(5))
        #expect(node.spec.edge.healthCheck.timeout == .seconds(2))
        #expect(node.spec.edge.healthCheck.healthyThreshold == 2)
        #expect(node.spec.edge.healthCheck.unhealthyThreshold == 2)
        #expect(node.spec.host.kernelMaxSocketBufferBytes == 26_214_400)
        #expect(node.spec.host.disableNicOffloads == false)
    }

    @Test func nullMeansAbsent() throws {
        let decoded = try edgeNode(with: "'tunnel': null, 'edge': {'healthCheck': {'interval': null}}")
        #expect(decoded.lines == [])
        #expect(decoded.value?.spec.edge.healthCheck.interval == .seconds(5))
    }

    @Test(arguments: [
        ("2001:db8::1", "2001:db8::1"), ("vps.example.com", "vps.example.com"), ("203.0.113.10", "203.0.113.10"),
    ])
    func addressTakesIPv4IPv6AndNames(given: String, expected: String) throws {
        let decoded = try edgeNode(spec: "{'address': '\(given)', 'ssh': {'secretRef': {'name': 's'}}}")
        #expect(decoded.value?.spec.address.description == expected)
    }

    @Test(arguments: ["$(reboot)", "a b", "../x", "a;b", "\\u0027x", "x\\n", ""])
    func addressRefusesWhatIsNone(given: String) throws {
        let decoded = try edgeNode(spec: "{'address': '\(given)', 'ssh': {'secretRef': {'name': 's'}}}")
        #expect(decoded.value == nil)
        #expect(decoded.lines.count == 1)
        #expect(decoded.lines[0].hasPrefix("spec.address: "))
    }

    @Test(arguments: [
        ("root@203.0.113.10", "the user goes into spec.ssh.user"), ("203.0.113.10:22", "the port goes into spec.ssh.port"),
        ("vps.example.com:2222", "the port goes into spec.ssh.port"), ("ssh://203.0.113.10", "leave ssh:// out"),
        ("ssh://root@vps:22/", "leave ssh:// out; the user goes into spec.ssh.user; the port goes into spec.ssh.port"),
        ("[2001:db8::1]:22", "an IPv6 address has no brackets here; the port goes into spec.ssh.port"),
        ("[2001:db8::1]", "an IPv6 address has no brackets here"),
    ])
    func whatAnAddressHoldsBesidesIsNamed(text: String, advice: String) throws {
        let decoded = try edgeNode(spec: "{'address': '\(text)', 'ssh': {'secretRef': {'name': 's'}}}")
        #expect(
            decoded.lines == ["spec.address: expected an IP address or DNS name alone (\(advice)), given \"\(text)\""])
    }

    @Test func allMistakesAreToldAtOnce() throws {
        let decoded = try edgeNode(
            spec: """
                {'adress': 'x', 'ssh': {'port': 70000, 'user': '-Root', 'connectTimeout': 30, 'secretRef': {}},
                 'tunnel': {'network': '10.200.0.1/24', 'mtu': '1420', 'persistentKeepalive': -1},
                 'uplink': {'replicas': 254, 'namespace': 'Tunnel', 'labels': {'a b': 'x', 'c': 5}},
                 'edge': {'healthCheck': {'healthyThreshold': 0, 'interval': '0s'}, 'maxConnections': true},
                 'host': {'kernelMaxSocketBufferBytes': 100, 'disableNicOffloads': 'yes'}}
                """)
        #expect(
            decoded.lines == [
                "spec.address: is required: the VPS's IP address or DNS name",
                "spec.ssh.port: expected a whole number from 1 to 65535, given the number 70000",
                "spec.ssh.user: expected a user name: letters, digits, _, . and -, as in admin, first.last, DOMAIN\\user or user@corp.example, given \"-Root\"",
                "spec.ssh.connectTimeout: expected a duration such as 30s, 1h30m or 500ms, given the number 30: a unit is missing",
                "spec.ssh.secretRef.name: is required: the Secret's name",
                "spec.edge.healthCheck.interval: expected a duration from 100ms to 1h0m0s, given \"0s\"",
                "spec.edge.healthCheck.healthyThreshold: expected a whole number from 1 to 100, given the number 0",
                "spec.edge.maxConnections: expected a whole number from 1 to 1000000, given the boolean true",
                "spec.tunnel.network: \"10.200.0.1/24\" is not a valid network: host bits are set; did you mean 10.200.0.0/24?",
                "spec.tunnel.mtu: expected a whole number of bytes from 576 to 65535, given the text \"1420\"",
                "spec.tunnel.persistentKeepalive: expected a whole number of seconds from 0 to 65535, given the number -1",
                "spec.uplink.namespace: expected a DNS label, given \"Tunnel\"",
                "spec.uplink.replicas: expected a whole number from 1 to 253, given the number 254",
                "spec.uplink.labels[\"a b\"]: the key is no label name: want 1 to 63 letters, digits, -, _ and . after an optional DNS prefix and /",
                "spec.uplink.labels[\"c\"]: expected a text, given the number 5 (a text needs quotes)",
                "spec.host.kernelMaxSocketBufferBytes: expected at least 4608 bytes, or 0 to leave the kernel's value alone, given 100",
                "spec.host.disableNicOffloads: expected true or false, given the text \"yes\"",
                "spec.adress: unknown field; did you mean \"address\"?",
            ])
        #expect(decoded.value == nil)
    }

    @Test(arguments: [
        ("'10.0.0.0/7'", "from /8 to /30"), ("'10.0.0.0/31'", "from /8 to /30"), ("'127.0.0.0/8'", "loopback"),
        ("'224.0.0.0/8'", "multicast"),
    ])
    func networksThatCannotWorkAreRefused(network: String, reason: String) throws {
        let decoded = try edgeNode(with: "'tunnel': {'network': \(network)}")
        #expect(decoded.value == nil)
        #expect(decoded.lines.contains { $0.contains(reason) })
    }

    @Test func fractionsOfDurationsAreKept() throws {
        let decoded = try edgeNode(with: "'edge': {'healthCheck': {'interval': '1.5s', 'timeout': '750ms'}}")
        #expect(decoded.value?.spec.edge.healthCheck.interval.nanoseconds == 1_500_000_000)
        #expect(decoded.value?.spec.edge.healthCheck.timeout.nanoseconds == 750_000_000)
    }

    @Test func ownLabelCannotBeSet() throws {
        let decoded = try edgeNode(with: "'uplink': {'labels': {'app.kubernetes.io/name': 'mine'}}")
        #expect(decoded.lines == ["spec.uplink.labels[\"app.kubernetes.io/name\"]: is set by Tidegate itself; remove it"])
    }

    @Test(arguments: ["Edge", "edge.node", "-edge", "e_e", "../e", String(repeating: "a", count: 46)])
    func namesThatMakeNoStatefulSetAreRefused(name: String) throws {
        let decoded = EdgeNode.decode(
            try json("{'metadata': {'name': '\(name)'}, 'spec': {'address': '192.0.2.1', 'ssh': {'secretRef': {'name': 's'}}}}"))
        #expect(decoded.lines.count == 1)
        #expect(decoded.lines[0].hasPrefix("metadata.name: expected a DNS label of at most 45 characters"))
    }

    @Test func coreV1PartsArePassedOnAsTheyAre() throws {
        let decoded = try edgeNode(
            with: """
                'uplink': {'resources': {'limits': {'cpu': '500m', 'weight': 1.5}},
                           'tolerations': [{'key': 'dedicated', 'tolerationSeconds': 30}], 'affinity': {'x': [true, 2]}}
                """)
        let uplink = try #require(decoded.value).spec.uplink
        #expect(uplink.resources == .object(["limits": .object(["cpu": .string("500m"), "weight": .number(1.5)])]))
        #expect(uplink.tolerations == [.object(["key": .string("dedicated"), "tolerationSeconds": .integer(30)])])
        #expect(uplink.affinity == .object(["x": .array([.bool(true), .integer(2)])]))
    }

    @Test func aServersUnknownFieldsArePassedOver() throws {
        let node = try json(
            """
            {'metadata': {'name': 'edge', 'uid': 'u', 'generation': 3, 'managedFields': [], 'fromTheFuture': 1},
             'spec': {'address': '192.0.2.1', 'ssh': {'secretRef': {'name': 's'}}, 'fromTheFuture': 1}}
            """)
        let decoded = EdgeNode.decode(node, unknownFields: .ignored)
        #expect(decoded.lines == [])
        #expect(decoded.value?.metadata.generation == 3)
        #expect(EdgeNode.decode(node).lines.count == 2)
    }

    @Test func whatIsEncodedDecodesToTheSame() throws {
        var node = try #require(
            try edgeNode(
                with: """
                    'tunnel': {'mtu': 1300}, 'edge': {'drainTimeout': '90s'}, 'host': {'disableNicOffloads': true},
                    'uplink': {'replicas': 3, 'labels': {'a': 'b'}, 'annotations': {'n': 'true'}, 'nodeSelector': {'x': ''},
                               'tolerations': [{'key': 'k'}], 'resources': {}}
                    """
            ).value)
        node.metadata.annotations = [APIName.restartEnvoyAnnotation: "true"]
        node.status = EdgeNodeStatus(
            conditions: [Condition(type: "Ready", status: .true, reason: "Up", message: "", lastTransitionTime: "t")],
            observedGeneration: 2, relayPublicKey: WireGuardPublicKey(bytes: [UInt8](repeating: 7, count: 32)),
            wireGuardKind: "kernel", appliedBindings: 4,
            uplinks: [
                UplinkStatus(
                    name: "edge-uplink-0", tunnelIP: try IPv4Address(parsing: "10.200.0.2"),
                    publicKey: try #require(WireGuardPublicKey(bytes: [UInt8](repeating: 9, count: 32))), ready: true)
            ])
        let again = EdgeNode.decode(try FieldNode(json: Array(node.fieldValue.json.utf8)))
        #expect(again.lines == [])
        #expect(again.value == node)
    }

    /// Three bytes stand for a value that takes a hundred once it is read, and stays for as long as the EdgeNode.
    @Test(arguments: [
        ("tolerations", "[\(Array(repeating: "{}", count: 200_000).joined(separator: ","))]"),
        ("tolerations", "[{'key':[\(Array(repeating: "{'':0}", count: 3000).joined(separator: ","))]}]"),
        ("resources", "{'requests':{'cpu':[\(Array(repeating: "[]", count: 200_000).joined(separator: ","))]}}"),
        ("affinity", "{'nodeAffinity':{'x':[\(Array(repeating: "{'y':{}}", count: 1500).joined(separator: ","))]}}"),
    ]) func keepsNoEndlessWishes(field: String, value: String) throws {
        let decoded = try edgeNode(with: "'uplink': {'\(field)': \(value)}")
        #expect(decoded.value == nil)
        #expect(decoded.problems.count == 1)
        #expect(decoded.problems.first?.path.hasPrefix("spec.uplink.\(field)") == true)
    }

    @Test func takesWishesOfAnySensibleSize() throws {
        let terms = Array(repeating: "{'matchExpressions':[{'key':'a','operator':'In','values':['b','c']}]}", count: 200)
        let tolerations = Array(repeating: "{'key':'a','operator':'Exists'}", count: 100)
        let decoded = try edgeNode(
            with: "'uplink': {'tolerations': [\(tolerations.joined(separator: ","))], "
                + "'affinity': {'terms': [\(terms.joined(separator: ","))]}}")
        #expect(decoded.problems.isEmpty)
        #expect(decoded.value?.spec.uplink.tolerations.count == 100)
    }
}
