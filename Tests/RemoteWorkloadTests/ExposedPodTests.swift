import Documents
import EdgeAPI
import JSON
import NetworkTypes
import RemoteWorkload
import Testing

@Suite struct ExposedPodTests {
    private func pod(
        _ annotations: [String: String] = [:], name: String = "web", ports: [FieldValue] = [], phase: String = "Running"
    ) throws
        -> ExposedPod
    {
        let object: FieldValue = [
            "metadata": [
                "name": .string(name), "namespace": "default", "uid": "1",
                "annotations": .object(.init(annotations.map { ($0.key, .string($0.value)) })),
            ],
            "spec": [
                "nodeName": "n", "containers": [["ports": .array(ports)]], "initContainers": [["ports": [["containerPort": 9]]]],
            ],
            "status": ["phase": .string(phase)],
        ]
        return try #require(ExposedPod(FieldNode(value: object)))
    }

    private func words(_ ports: [RemotePort]) -> [String] { ports.map { "\($0.name) \($0.key)" } }

    @Test func `Ports of containers come first, and each counts once`() throws {
        let own: [FieldValue] = [
            ["name": "http", "containerPort": 8080], ["containerPort": 53, "protocol": "UDP"],
            ["containerPort": 53, "protocol": "SCTP"],
        ]
        let found = try pod(
            [
                ExposedPod.interLinkPortsAnnotation: "8080:other, 9090:metrics:UDP,3000:http,28080",
                ExposedPod.extraPortsAnnotation: "53",
            ], ports: own
        )
        .exposedPorts()
        #expect(
            words(found) == [
                "http TCP 8080", "udp-53 UDP 53", "port-9 TCP 9", "port-53 TCP 53", "metrics UDP 9090", "port-3000 TCP 3000",
            ])
    }

    @Test(arguments: ["x", "0", "65536", "80:a:b", "80:a:TCP:c", "-1", "80;reboot", "80 90:"])
    func `What is no port is named`(text: String) throws {
        let pod = try pod([ExposedPod.extraPortsAnnotation: text])
        if text == "80 90:" {
            #expect(throws: InvalidValue.self) { try RemotePort.list(parsing: "80 9x") }
        } else {
            #expect(throws: InvalidValue.self) { try pod.exposedPorts() }
        }
    }

    @Test func `A hundred thousand ports are as many as a RemoteService has`() throws {
        let text = (1...60_000).map(String.init).joined(separator: ",")
        #expect(try pod([ExposedPod.extraPortsAnnotation: text]).exposedPorts().count == 100)
    }

    @Test(
        arguments: [
            ([:], nil), ([ExposedPod.exposeAnnotation: "true"], true), ([ExposedPod.exposeAnnotation: "false"], false),
            ([ExposedPod.interLinkPortsAnnotation: "1"], true),
            ([ExposedPod.interLinkPortsAnnotation: "1", ExposedPod.interLinkVPNAnnotation: "true"], false),
            ([ExposedPod.exposeAnnotation: "false", ExposedPod.extraPortsAnnotation: "1"], false),
        ] as [([String: String], Bool?)])
    func `Whether it asks for it`(annotations: [String: String], wish: Bool?) throws {
        #expect(try pod(annotations).wish == wish)
    }

    @Test func `Names are a Service's, and two pods have two`() throws {
        let names = try ["web", "9web", "a.b", String(repeating: "x", count: 200), String(repeating: "x", count: 199) + "y"].map {
            try pod(name: $0).remoteServiceName.name
        }
        #expect(names[0] == "pod-web")
        #expect(names[1] == "pod-9web")
        #expect(Set(names).count == names.count)
        for name in names {
            let object: FieldValue = [
                "metadata": ["name": .string(name)], "spec": ["ports": [["name": "a", "port": 1]], "gateway": ["ingress": [:]]],
            ]
            #expect(RemoteService.decode(FieldNode(value: object)).problems == [])
        }
    }

    @Test func `What ended is over`() throws {
        #expect(try !pod().isOver)
        for phase in ["Succeeded", "Failed"] { #expect(try pod(phase: phase).isOver) }
    }

    @Test(arguments: [("", 30), ("5m", 300), ("soon", 30)])
    func `How long its gateway may take`(text: String, seconds: Int) throws {
        #expect(try pod([ExposedPod.interLinkTimeoutAnnotation: text]).timeout.duration == .seconds(seconds))
    }

    @Test func `Commands of clients that may not join go`() {
        let commands = ExposedPod.commands(["tidegate": "t", "client.toml": "x"])
        #expect(commands[ExposedPod.commandAnnotation] == "t")
        #expect(commands[ExposedPod.wstunnelCommandAnnotation] == .some(nil))
        #expect(
            commands[ExposedPod.ratholeCommandAnnotation] == "echo eA== | base64 -d > client.toml && rathole --client client.toml"
        )
    }
}
