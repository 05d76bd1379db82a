import Documents
import EdgeAPI
import JSON
import NetworkTypes
import Testing

@Suite struct PortBindingFieldsTests {
    @Test func tcpDefaults() throws {
        let decoded = try binding()
        #expect(decoded.lines == [])
        #expect(decoded.value?.spec.bindings.first?.transport == .tcp(TCPOptions()))
        #expect(TCPOptions().connectTimeout == .seconds(5))
        #expect(TCPOptions().idleTimeout == .seconds(3600))
    }

    @Test func udpDefaults() throws {
        let decoded = try binding(protocol: "UDP")
        #expect(decoded.value?.spec.bindings.first?.transport == .udp(UDPOptions()))
        #expect(UDPOptions().sessionTimeout == .seconds(60))
        #expect(UDPOptions().maxDatagramBytes == 1500)
    }

    @Test(arguments: [
        ("'proxyProtocol': true", ProxyProtocolVersion.v1), ("'proxyProtocol': true, 'proxyProtocolVersion': 'V2'", .v2),
        ("'proxyProtocolVersion': 'V1'", .v1), ("'proxyProtocol': false", nil), ("", nil),
    ])
    func proxyProtocol(fields: String, expected: ProxyProtocolVersion?) throws {
        let decoded = try binding(with: "'tcp': {\(fields)}")
        #expect(decoded.lines == [])
        guard case .tcp(let options)? = decoded.value?.spec.bindings.first?.transport else {
            Issue.record("no TCP binding")
            return
        }
        #expect(options.proxyProtocol == expected)
    }

    @Test func proxyProtocolVersionNeedsItSwitchedOn() throws {
        let decoded = try binding(with: "'tcp': {'proxyProtocol': false, 'proxyProtocolVersion': 'V2'}")
        #expect(
            decoded.lines == [
                "spec.bindings[0].tcp.proxyProtocolVersion: has no meaning while proxyProtocol is false; "
                    + "set proxyProtocol: true or remove this field"
            ])
    }

    @Test func blocksMustAgreeWithTheProtocol() throws {
        #expect(
            try binding(protocol: "UDP", with: "'tcp': {'proxyProtocol': true}, 'tls': {'mode': 'passthrough'}").lines == [
                "spec.bindings[0].tcp: belongs to TCP, and this binding is UDP; remove it or set protocol: TCP",
                "spec.bindings[0].tls: is for TCP only, and this binding is UDP; remove it",
            ])
        #expect(
            try binding(with: "'udp': {'sessionTimout': '5s'}").lines == [
                "spec.bindings[0].udp.sessionTimout: unknown field; did you mean \"sessionTimeout\"?",
                "spec.bindings[0].udp: belongs to UDP, and this binding is TCP; remove it or set protocol: UDP",
            ])
        #expect(
            try binding(protocol: "tcp").lines == [
                "spec.bindings[0].protocol: expected one of TCP, UDP, given \"tcp\"; did you mean \"TCP\"?"
            ])
    }

    @Test(arguments: [
        ("{'service': {'name': 's', 'port': 1}, 'address': '10.0.0.1', 'port': 1}", "has both"),
        ("{}", "needs a service"), ("{'port': 80}", "needs a service"),
        ("{'address': '10.0.0.1'}", "target.port: is required"),
        ("{'service': {'name': 's'}}", "target.service.port: is required"),
        ("{'service': {'name': 's', 'port': 80}, 'port': 80}", "target.port: belongs inside service"),
        ("{'service': {'name': '../s', 'port': 80}}", "target.service.name: expected"),
        ("{'service': {'name': 's', 'namespace': 'a/b', 'port': 80}}", "target.service.namespace: expected"),
        ("{'address': '127.0.0.1', 'port': 80}", "loopback"),
        ("{'address': '$(reboot)', 'port': 80}", "not a valid host address"),
        ("{'address': '10.0.0.1', 'port': 0}", "from 1 to 65535"), ("'10.0.0.1:80'", "expected a mapping"),
    ])
    func targetsThatAreWrong(target: String, reason: String) throws {
        let decoded = try binding(target: target)
        #expect(decoded.value == nil)
        #expect(decoded.lines.count == 1)
        #expect(decoded.lines[0].contains(reason))
    }

    @Test func serviceTargetsTakeTheObjectsNamespace() throws {
        let value = try #require(try binding(target: "{'service': {'name': 's', 'port': 80}}").value)
        guard case .service(let reference, let port, let resolution) = value.spec.bindings[0].target else {
            Issue.record("no Service target")
            return
        }
        #expect(reference.objectName(in: value.metadata) == ObjectName(namespace: "default", name: "s"))
        #expect(port == .number(try Port(80)) && resolution == .clusterIP)
    }

    @Test func aServicesPortMayBeNamedAndItsEndpointsAskedFor() throws {
        let text = "{'service': {'name': 's', 'port': 'http', 'resolve': 'Endpoints'}}"
        let value = try #require(try binding(target: text).value)
        #expect(
            value.spec.bindings[0].target == .service(NamespacedReference(name: "s"), port: .name("http"), resolve: .endpoints))
        #expect(PortBinding.decode(FieldNode(value: value.fieldValue)).value == value)
    }

    @Test(arguments: ["nas.lan", "2001:db8::1"]) func aTargetMayBeANameOrIPv6(address: String) throws {
        let value = try #require(try binding(target: "{'address': '\(address)', 'port': 80}").value)
        #expect(value.spec.bindings[0].target == .host(try HostAddress(parsing: address), port: try Port(80)))
        #expect(PortBinding.decode(FieldNode(value: value.fieldValue)).value == value)
    }

    /// What no uplink can be told, with the way out.
    @Test(arguments: [
        ("{'address': 'localhost', 'port': 80}", "is loopback, link-local, multicast or reserved"),
        ("{'address': '::1', 'port': 80}", "is loopback, link-local, multicast or reserved"),
        ("{'address': 'http://nas.lan', 'port': 80}", "or a DNS name of letters"),
        ("{'service': {'name': 's', 'port': '80'}}", "is a number in quotes, which would be a port's name; take the quotes off"),
        ("{'service': {'name': 's', 'port': 'HTTP'}}", "expected a port's number, or its name in the Service"),
    ])
    func targetsThatCannotBeSayWhatToDo(target: String, words: String) throws {
        let decoded = try binding(target: target)
        #expect(decoded.value == nil && decoded.lines.count == 1)
        #expect(decoded.lines.first?.contains(words) == true, "\(decoded.lines)")
    }

    @Test(arguments: [40500, 40600])
    func reservedPortsAreRefused(port: Int) throws {
        let decoded = try portBinding(
            bindings: "[{'name': 'b', 'protocol': 'TCP', 'listenPort': \(port), 'target': {'address': '10.0.0.1', 'port': 1}}]")
        #expect(decoded.lines.count == 1)
        #expect(decoded.lines[0].contains("Tidegate's own"))
    }

    @Test func tlsModes() throws {
        let secret = NamespacedReference(name: "web-tls")
        let offload = try binding(with: "'tls': {'mode': 'offload', 'secretRef': {'name': 'web-tls'}}")
        #expect(offload.value?.spec.bindings.first?.tls == TLSOptions(mode: .offload(secret)))
        let mutual = try binding(with: "'tls': {'mode': 'mutual', 'secretRef': {'name': 'web-tls'}}")
        #expect(mutual.value?.spec.bindings.first?.tls == TLSOptions(mode: .mutual(secret)))
        let names = try binding(with: "'tls': {'mode': 'passthrough', 'hostnames': ['A.Example.com', '*.b.example.com']}")
        #expect(
            names.value?.spec.bindings.first?.tls
                == TLSOptions(mode: .passthrough, hostnames: ["a.example.com", "*.b.example.com"]))
    }

    @Test(arguments: [
        ("{'mode': 'offload'}", "tls.secretRef: is required: the Secret with tls.crt and tls.key"),
        ("{'mode': 'mutual'}", "tls.secretRef: is required: the Secret with tls.crt, tls.key and ca.crt"),
        ("{'mode': 'passthrough', 'secretRef': {'name': 'x'}}", "tls.secretRef: has no use with mode passthrough"),
        ("{}", "tls.mode: is required"), ("{'mode': 'Offload', 'secretRef': {'name': 'x'}}", "did you mean \"offload\"?"),
        ("{'mode': 'passthrough', 'hostnames': ['a.b', 'A.B']}", "hostnames[1]: \"a.b\" is listed already"),
        ("{'mode': 'passthrough', 'hostnames': ['*']}", "hostnames[0]: expected a DNS name"),
        ("{'mode': 'passthrough', 'hostnames': ['\u{212A}.b']}", "hostnames[0]: expected a DNS name"),
        ("{'mode': 'passthrough', 'hostnames': ['a.*.b']}", "hostnames[0]: expected a DNS name"),
        ("{'mode': 'passthrough', 'hostnames': ['10.0.0.1']}", "hostnames[0]: expected a DNS name"),
        ("{'mode': 'passthrough', 'hostnames': [null]}", "hostnames[0]: is empty"),
        ("{'mode': 'passthrough', 'hostnames': 'a.b'}", "hostnames: expected a list of DNS names"),
    ])
    func tlsThatIsWrong(tls: String, reason: String) throws {
        let decoded = try binding(with: "'tls': \(tls)")
        #expect(decoded.value == nil)
        #expect(decoded.lines.count == 1)
        #expect(decoded.lines[0].contains(reason))
    }

    @Test func bindingNamesAreUnique() throws {
        let one = "'protocol': 'TCP', 'listenPort': 80, 'target': {'address': '10.0.0.1', 'port': 1}"
        let decoded = try portBinding(bindings: "[{'name': 'a', \(one)}, {'name': 'b', \(one)}, {'name': 'a', \(one)}]")
        #expect(decoded.lines == ["spec.bindings[2]: has the name \"a\" of bindings[0]; each needs its own"])
    }

    @Test func bindingsMustBeThere() throws {
        #expect(try portBinding(bindings: "[]").lines == ["spec.bindings: expected at least one binding, given an empty list"])
        #expect(try portBinding(bindings: "null").lines == ["spec.bindings: is required: at least one binding"])
        #expect(try portBinding(bindings: "[null]").lines == ["spec.bindings[0]: is empty; fill it in or remove it"])
        #expect(try portBinding(bindings: "{}").lines == ["spec.bindings: expected a list, given a mapping"])
    }

    @Test func limitsOfTimesAndSizes() throws {
        #expect(try binding(with: "'tcp': {'idleTimeout': '0s'}").lines == [])
        #expect(
            try binding(with: "'tcp': {'connectTimeout': '0s'}").lines == [
                "spec.bindings[0].tcp.connectTimeout: expected a duration from 100ms to 10m0s, given \"0s\""
            ])
        #expect(try binding(protocol: "UDP", with: "'udp': {'maxDatagramBytes': 65507}").lines == [])
        #expect(try binding(protocol: "UDP", with: "'udp': {'maxDatagramBytes': 65508}").value == nil)
        #expect(try binding(protocol: "UDP", with: "'udp': {'sessionTimeout': '-1s'}").value == nil)
        #expect(try binding(with: "'tcp': {'idleTimeout': '1 h'}").value == nil)
    }

    @Test func edgeNodesOfOtherNamespacesCannotBeNamed() throws {
        let part = "'bindings': [{'name': 'b', 'protocol': 'TCP', 'listenPort': 1, 'target': {'address': '10.0.0.1', 'port': 1}}]"
        func decode(_ namespace: String) throws -> Decoded<PortBinding> {
            PortBinding.decode(
                try json(
                    """
                    {'metadata': {'name': 'web', 'namespace': 'a'},
                     'spec': {'edgeNodeRef': {'name': 'edge', 'namespace': '\(namespace)'}, \(part)}}
                    """))
        }
        #expect(try decode("a").value?.edgeNodeName == ObjectName(namespace: "a", name: "edge"))
        #expect(try decode("b").lines.count == 1)
    }

    @Test func whatIsEncodedDecodesToTheSame() throws {
        var value = try #require(
            try portBinding(
                bindings: """
                    [{'name': 'a', 'protocol': 'TCP', 'listenPort': 443, 'target': {'service': {'name': 's', 'port': 1}},
                      'tcp': {'proxyProtocolVersion': 'V2', 'idleTimeout': '0s'},
                      'tls': {'mode': 'mutual', 'secretRef': {'name': 't', 'namespace': 'n'}, 'hostnames': ['a.b']}},
                     {'name': 'b', 'protocol': 'UDP', 'listenPort': 53, 'target': {'address': '10.0.0.1', 'port': 53},
                      'udp': {'sessionTimeout': '1.5s', 'maxDatagramBytes': 9000}},
                     {'name': 'c', 'protocol': 'TCP', 'listenPort': 22, 'target': {'address': '10.0.0.1', 'port': 22}}]
                    """
            ).value)
        value.status = PortBindingStatus(
            conditions: [Condition(type: "Ready", status: .false, reason: "X", message: "m")],
            bindings: [
                BindingStatus(
                    name: "a", address: "203.0.113.10:443", target: "10.0.0.1:1", ready: false, reason: .uplinksDown, message: "m"
                )
            ])
        let again = PortBinding.decode(try FieldNode(json: Array(value.fieldValue.json.utf8)))
        #expect(again.lines == [])
        #expect(again.value == value)
    }
}
