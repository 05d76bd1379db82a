import EdgeAPI
import Foundation
import NetworkTypes
import NodeDocument
import Sodium
import TestLinks
import TestNetwork
import TestPrograms
import Testing
import UplinkWorkload

/// The program `uplink` with links alone.
@Suite(.serialized, .timeLimit(.minutes(4))) struct LinkUplinkTests {
    @Test func `An ordinary user without any capability serves every binding`() async throws {
        let lab = try await LinkLab(tcp: [80, 81], udp: [53])
        let before = try lab.traces()
        for (address, name) in [(LinkLab.target, "a"), (LinkLab.other, "b")] {
            try lab.uplink.start(
                "socat", "TCP-LISTEN:8080,fork,reuseaddr,bind=\(address)", "SYSTEM:echo \(name); cat; echo end")
        }
        try lab.uplink.start("socat", "-b65536", "UDP4-RECVFROM:5353,fork,bind=\(LinkLab.target)", "PIPE")
        let one = try lab.forward("web", .tcp, 80, to: [LinkLab.target], 8080)
        let spread = try lab.forward("spread", .tcp, 81, to: [LinkLab.target, LinkLab.other], 8080)
        let dns = try lab.forward("dns", .udp, 53, to: [LinkLab.target], 5353)
        let first = try lab.write([one, spread, dns])
        let process = try lab.startUplink()
        try eventually { try lab.ask("/ready") == "ready\n200" }
        let rights = try String(contentsOfFile: "/proc/\(try uplinkPID(lab))/status", encoding: .utf8)
        for line in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1", "Uid:\t65534"] {
            #expect(rights.contains(line))
        }
        try eventually(within: .seconds(2)) { try lab.status().ready }
        let report = try lab.status()
        #expect(report.hash == first.hash && report.carriers == [.tls] && report.handshakeAge == nil)
        #expect(try lab.health() == "alive\n")
        try eventually { try lab.ask("/metrics").contains("tidegate_uplink_links{carrier=\"TLS\"} 2") }

        // TCP with its half-close: the end comes after ours.
        let web = try await lab.rig.connect(80)
        try await expectNext(on: web, .bytes(Array("a\n".utf8)))
        try web.send(Array("hello\n".utf8))
        try await expectNext(on: web, .bytes(Array("hello\n".utf8)))
        // Several endpoints.
        var names: Set<String> = []
        for _ in 0..<40 {
            let client = try await lab.rig.connect(81)
            client.endSending()
            names.insert(String(decoding: try await blocking { client.receiveAll().bytes }, as: UTF8.self))
        }
        #expect(names == ["a\nend\n", "b\nend\n"])
        // Datagrams longer than any packet.
        let datagram = (0..<9_000).map { UInt8($0 % 251) }
        let address = lab.rig.address
        let udp = try Socket.connected(SOCK_DGRAM, to: address, port: 53)
        try udp.send(datagram)
        try await expectNext(on: udp, .bytes(datagram))

        // A document that changes takes effect, and cuts nothing.
        let second = try lab.write([try lab.forward("web", .tcp, 81, to: [LinkLab.other], 8080), dns])
        try eventually(within: .seconds(2)) { try lab.status().hash == second.hash }
        for _ in 0..<5 {
            let client = try await lab.rig.connect(81)
            try await expectNext(on: client, .bytes(Array("b\n".utf8)))
        }
        try web.send(Array("still\n".utf8))
        try await expectNext(on: web, .bytes(Array("still\n".utf8)))
        let gone = try await lab.rig.connect(80)
        try await expectNext(on: gone, .failed(ECONNRESET))
        web.endSending()
        let rest = try await blocking { web.receiveAll() }
        #expect(rest.failure == 0 && rest.bytes == Array("end\n".utf8))

        // More links come up before the former are drained.
        let held = try await lab.rig.connect(81)
        try await expectNext(on: held, .bytes(Array("b\n".utf8)))
        try lab.write([try lab.forward("web", .tcp, 81, to: [LinkLab.other], 8080), dns], connections: 3)
        for _ in 0..<30 {
            #expect(try lab.ask("/ready") == "ready\n200")
            usleep(100_000)
        }
        try eventually { try lab.ask("/metrics").contains("tidegate_uplink_links{carrier=\"TLS\"} 3") }
        try held.send(Array("held\n".utf8))
        try await expectNext(on: held, .bytes(Array("held\n".utf8)))
        #expect(try lab.traces() == before)

        process.terminate()
        try eventually(within: .seconds(1)) { try lab.ask("/ready").hasSuffix("503") }
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        #expect(try lab.traces() == before)
    }

    @Test func `An edge of another key is told of, and the links that are there stay`() async throws {
        let lab = try await LinkLab(tcp: [80])
        try lab.uplink.start("socat", "TCP-LISTEN:8080,fork,reuseaddr,bind=\(LinkLab.target)", "SYSTEM:echo a; exec cat")
        let forward = try lab.forward("web", .tcp, 80, to: [LinkLab.target], 8080)
        try lab.write([forward])
        let process = try lab.startUplink()
        defer { process.terminate() }
        try eventually { try lab.ask("/ready") == "ready\n200" }
        let client = try await lab.rig.connect(80)
        try await expectNext(on: client, .bytes(Array("a\n".utf8)))
        try lab.write([forward], pin: SHA256.digest(of: "another"))
        try await Task.sleep(for: .seconds(3))
        #expect(try lab.ask("/ready") == "ready\n200")
        try client.send([65])
        try await expectNext(on: client, .bytes([65]))
    }

    @Test(arguments: [true, false]) func `A proxy leads to the edge, with its password, which nobody else finds`(isRight: Bool)
        async throws
    {
        let lab = try await LinkLab(tcp: [80], door: "127.0.0.1:8443")
        try lab.uplink.start("socat", "TCP-LISTEN:8080,fork,reuseaddr,bind=\(LinkLab.target)", "SYSTEM:echo a; exec cat")
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Proxy/proxy.py").path
        try lab.uplink.start("python3", script, "3128", "user:\(LinkLab.password)", "127.0.0.1", "8443")
        try lab.write([try lab.forward("web", .tcp, 80, to: [LinkLab.target], 8080)])
        let password = isRight ? LinkLab.password : "x\(LinkLab.password)"
        let process = try lab.startUplink(["HTTPS_PROXY": "http://user:\(password)@127.0.0.1:3128"])
        defer { process.terminate() }
        if isRight {
            try eventually { try lab.ask("/ready") == "ready\n200" }
            let client = try await lab.rig.connect(80)
            try await expectNext(on: client, .bytes(Array("a\n".utf8)))
        } else {
            try eventually { try lab.health().contains("it wants other credentials (407)") }
        }
        let environment = try Data(contentsOf: URL(fileURLWithPath: "/proc/\(try uplinkPID(lab))/environ"))
        #expect(!String(decoding: environment, as: UTF8.self).contains(LinkLab.password))
    }

    /// The container that the pod template asks for where no WireGuard is among the carriers.
    @Test func `A restricted pod serves`() async throws {
        let lab = try await LinkLab(tcp: [80])
        try lab.uplink.start("socat", "TCP-LISTEN:8080,fork,reuseaddr,bind=\(LinkLab.target)", "SYSTEM:echo a; exec cat")
        try lab.write([try lab.forward("web", .tcp, 80, to: [LinkLab.target], 8080)])
        var node = EdgeNode(
            metadata: ObjectMeta(name: "edge"),
            spec: EdgeNodeSpec(
                address: try HostAddress(parsing: LinkLab.edge), ssh: SSHSpec(secretRef: NamespacedReference(name: "vps"))))
        node.spec.tunnel.carriers = [.tls]
        let objects = UplinkObjects(
            of: node, UplinkPodSettings(image: "-", environment: ["LOG_FORMAT": "text", "LOG_LEVEL": "warn"]))
        let pod = try PodSandbox(
            of: objects, in: lab.uplink, volumes: ["config": lab.folder, "keys": lab.folder], devices: .withoutTun)
        defer { pod.process.terminate() }
        try eventually { try lab.ask("/ready") == "ready\n200" }
        let client = try await lab.rig.connect(80)
        try await expectNext(on: client, .bytes(Array("a\n".utf8)))
        #expect(try pod.execute([TunnelLab.program, "healthz"]) == "alive\n")
        let rights = try String(contentsOfFile: "/proc/\(try uplinkPID(lab))/status", encoding: .utf8)
        for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "Seccomp:\t2", "Uid:\t65532"] {
            #expect(rights.contains(line))
        }
    }

    private func uplinkPID(_ lab: LinkLab) throws -> pid_t {
        let pids = try run("ip", "netns", "pids", lab.uplink.name).split(separator: "\n").compactMap { pid_t($0) }
        let found = pids.first { (try? String(contentsOfFile: "/proc/\($0)/comm", encoding: .utf8)) == "uplink\n" }
        return try #require(found)
    }
}
