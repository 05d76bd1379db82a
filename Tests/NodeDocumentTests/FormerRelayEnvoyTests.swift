import Fixtures
import NetworkTypes
import NodeDocument
import Testing

/// What builds before 2026-12 left on the disks of VPSes.
@Suite struct FormerRelayEnvoyTests {
    private static let hash = String(repeating: "0a", count: 16)

    private func read(packed: Bool, listener: String = "tcp-443 TCP 443 - 1 - web api") throws -> RelayEnvoy {
        let plain = #"""
            [{"bindings":["web","api"],"json":"{}","name":"tcp-443","port":443,"protocol":"TCP"},
            {"bindings":["dns"],"dualStackJSON":"{}","json":"{}","name":"udp-53","port":53,"protocol":"UDP"},
            {"address":"10.200.0.1","bindings":[],"json":"{}","name":"bridge","port":40600,"protocol":"TCP"}]
            """#
        let lines = #"""
            {"clusters":["web 3"],"listeners":["bridge TCP 40600 10.200.0.1 0 -","\#(listener)","udp-53 UDP 53 - 2 3 dns"],"texts":["{}"]}
            """#
        let text = #"""
            {"bootstrap":"{}","clusters":[],"drainSeconds":900,"listeners":\#(packed ? "[]" : plain),"maxConnections":32768,
            \#(packed ? "\"packed\":\(lines)," : "")
            "probes":{"intervalMilliseconds":500,"timeoutMilliseconds":700,"tunnelPorts":{},"unhealthyThreshold":3,"uplinks":[]},
            "release":{"version":"1.40.0"},
            "secrets":[{"json":"{}","name":"web"},{"json":"{}","name":"web-api"},{"json":"{}","name":"api"},{"json":"{}","name":"api.ca"}],
            "tlsFiles":[{"contents":"CRT","name":"web-\#(Self.hash).crt"},{"contents":"KEY","name":"web-\#(Self.hash).key"},
            {"contents":"NO","name":"web-api-\#(Self.hash).crt"},{"contents":"NO","name":"web-api-\#(Self.hash).key"},
            {"contents":"CRT2","name":"api-\#(Self.hash).crt"},{"contents":"KEY2","name":"api-\#(Self.hash).key"},
            {"contents":"CA","name":"api-\#(Self.hash).ca"}]}
            """#
        return try DocumentJSON.decode(RelayEnvoy.self, from: Array(text.utf8))
    }

    @Test(arguments: [true, false]) func portsAndCertificatesAreRead(packed: Bool) throws {
        let envoy = try read(packed: packed)
        #expect(envoy.release.version == "1.40.0" && envoy.maxConnections == 32768 && envoy.bridge == .readOnly)
        #expect(envoy.probing == UplinkProbing(intervalMilliseconds: 500, timeoutMilliseconds: 700, unhealthyThreshold: 3))
        let told = envoy.bindings.map { "\($0.name) \($0.protocol) \($0.listenPort) \($0.tls?.mode.rawValue ?? "-")" }
        #expect(told.sorted() == ["api TCP 443 mutual", "dns UDP 53 -", "web TCP 443 offload"])
        let material = Dictionary(uniqueKeysWithValues: envoy.bindings.map { ($0.name, $0.tls?.material) })
        #expect(material["web"] == TLSMaterial(certificateChain: "CRT", privateKey: "KEY"))
        #expect(
            material["api"] == TLSMaterial(certificateChain: "CRT2", privateKey: "KEY2", certificateAuthority: "CA"))
    }

    @Test(arguments: ["tcp-443", "", "tcp-443 ICMP 443 - 1 - web", "tcp-443 TCP 0 - 1 - web", "tcp-443 TCP 70000 - 1 - web"])
    func brokenLinesAreNamed(_ line: String) throws {
        let error = #expect(throws: DocumentError.self) { try read(packed: true, listener: line) }
        #expect(error?.message.contains("packed") == true)
    }
}
