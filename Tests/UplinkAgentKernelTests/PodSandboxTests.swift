import Documents
import EdgeAPI
import Foundation
import KubernetesAPI
import NetworkTypes
import NodeDocument
import TestNetwork
import TestPrograms
import Testing
import UplinkWorkload

/// The pod template grants what an uplink needs: it runs in a container made of the template, and nothing more.
@Suite struct PodSandboxTests {
    private let lab: TunnelLab
    private let objects: UplinkObjects

    init() throws {
        lab = try TunnelLab(isConfigMap: true)
        let node = EdgeNode(
            metadata: ObjectMeta(name: "edge"),
            spec: EdgeNodeSpec(
                address: try HostAddress(parsing: "198.18.0.1"), ssh: SSHSpec(secretRef: NamespacedReference(name: "vps"))))
        objects = UplinkObjects(
            of: node, UplinkPodSettings(image: "-", environment: ["LOG_FORMAT": "text", "LOG_LEVEL": "warn"]))
        // As the template's defaultMode has it; root without CAP_DAC_OVERRIDE must be able to read it.
        try run("chmod", "0400", "\(lab.folder)/priv-0")
    }

    private func start(_ devices: PodSandbox.Devices = .usual) throws -> PodSandbox {
        try PodSandbox(
            of: objects, in: lab.uplink, volumes: ["config": lab.folder, "keys": lab.folder], devices: devices)
    }

    /// As the kubelet's probe asks, at the pod's address.
    private func probe(_ path: String) throws -> String {
        try lab.relay.execute("curl", "-sS", "-m", "2", "-w", "%{http_code}", "http://198.18.0.2:40501\(path)")
    }

    /// As the template's probe has it, but for where the program is here.
    private func liveness(_ pod: PodSandbox) throws -> String {
        let container = try PodSandbox.part(
            of: objects.workload().first { $0.resource == .statefulSets }?.value, "spec", "template", "spec")
        let command =
            container["containers"]?.items?.first?["livenessProbe"]?["exec"]?["command"]?.items?.compactMap(\.text) ?? []
        #expect(command.first == "/usr/bin/uplink")
        return try pod.execute([TunnelLab.program] + command.dropFirst())
    }

    private func forwarding(_ interface: String) throws -> String {
        try lab.uplink.execute("sysctl", "-n", "net.ipv4.conf.\(interface).forwarding").trimmingCharacters(in: .newlines)
    }

    @Test func itsPrivilegesAreEnough() throws {
        try lab.serve("a", at: TunnelLab.firstTarget)
        try lab.uplink.start("socat", "TCP-LISTEN:7000,fork,reuseaddr", "SYSTEM:echo local")
        try lab.write([
            lab.forward("web", .tcp, 80, to: TunnelLab.firstTarget, 8080),
            lab.forward("dns", .udp, 53, to: TunnelLab.firstTarget, 5353),
            lab.forward("own", .tcp, 83, to: "127.0.0.1", 7000),
        ])
        let pod = try start()
        try eventually { try lab.ready() == "ready\n200" }
        #expect(try probe("/ready") == "ready\n200")
        #expect(try liveness(pod) == "alive\n")
        #expect(try lab.uplink.execute("curl", "-sS", "-m", "2", "http://[::1]:40500/healthz") == "alive\n")
        #expect(try lab.tcp(80) == "a 10.96.0.254\nhello\n")
        try eventually { try lab.udp(53) == "a\n" }
        // What listens on the uplink itself is nobody's to publish.
        #expect(throws: CommandFailure.self) { try lab.tcp(83) }
        #expect(try lab.status().wireGuardKind == "userspace")
        // /proc/sys cannot be written there: forwarding is the interfaces' own, and ours alone.
        #expect(try lab.uplink.execute("sysctl", "-n", "net.ipv4.ip_forward") == "0\n")
        #expect(try ["wan", "lan", "wg-uplink"].map(forwarding) == ["1", "1", "1"])
        try lab.relay.execute("ip", "route", "add", "10.96.0.0/16", "via", "198.18.0.2")
        #expect(throws: CommandFailure.self) { try lab.tcp(8080, TunnelLab.firstTarget) }

        // The kubelet swaps what is mounted.
        let second = try lab.write([lab.forward("web", .tcp, 81, to: TunnelLab.firstTarget, 8080)])
        try eventually(within: .seconds(1)) { try lab.status().hash == second.hash }
        #expect(try lab.tcp(81).hasPrefix("a "))

        // wireguard-go dies: another takes its place.
        let victims = try run("ip", "netns", "pids", lab.uplink.name).split(separator: "\n").compactMap { pid_t($0) }
        for pid in victims where try String(contentsOfFile: "/proc/\(pid)/comm", encoding: .utf8) == "wireguard-go\n" {
            kill(pid, SIGKILL)
        }
        try eventually { try lab.tcp(81).hasPrefix("a ") }
        #expect(try forwarding("wg-uplink") == "1")

        pod.process.terminate()
        try eventually(within: .seconds(1)) { try probe("/ready").hasSuffix("503") }
        #expect(try liveness(pod) == "alive\n")
        #expect(try lab.tcp(81).hasPrefix("a "))
        pod.process.waitUntilExit()
        #expect(pod.process.terminationStatus == 0)
        #expect(try lab.uplink.execute("nft", "list", "ruleset") == "")
        #expect(try ["wan", "lan"].map(forwarding) == ["0", "0"])
    }

    @Test func withoutTheTunDeviceItSaysWhatToDoAndLives() throws {
        try lab.write([])
        // Nor does it lose IPv4 where a socket of IPv6 has none.
        try lab.uplink.execute("sysctl", "-qw", "net.ipv6.bindv6only=1")
        let pod = try start(.withoutTun)
        try eventually { try probe("/ready").contains("load the kernel's module wireguard") }
        #expect(try probe("/ready").contains("open /dev/net/tun: EPERM"))
        #expect(try probe("/ready").hasSuffix("503"))
        let words = try liveness(pod)
        #expect(words.hasPrefix("alive\n") && words.contains("load the kernel's module wireguard"), "\(words)")
        #expect(pod.process.isRunning)
    }
}
