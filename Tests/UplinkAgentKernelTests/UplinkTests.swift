import Foundation
import NetworkTypes
import NodeDocument
import TestNetwork
import TestPrograms
import Testing

@Suite struct UplinkTests {
    @Test func trafficFollowsTheDocument() throws {
        let lab = try TunnelLab()
        try lab.serve("a", at: TunnelLab.firstTarget)
        try lab.serve("b", at: TunnelLab.secondTarget)
        let first = try lab.write([
            lab.forward("web", .tcp, 80, to: TunnelLab.firstTarget, 8080),
            lab.forward("dns", .udp, 53, to: TunnelLab.firstTarget, 5353),
            lab.forward("dead", .tcp, 81, to: TunnelLab.firstTarget, 9),
        ])
        let uplink = try lab.startUplink("--drain", "3s")
        try eventually { try lab.ready() == "ready\n200" }
        // The backend sees the uplink itself, so that its answers come back this way.
        #expect(try lab.tcp(80) == "a 10.96.0.254\nhello\n")
        try eventually { try lab.udp(53) == "a\n" }
        try eventually { try lab.status().targets.allSatisfy { $0.reachable != nil || $0.binding == "dns" } }
        let status = try lab.status()
        #expect(status.hash == first.hash)
        #expect(status.wireGuardKind == "userspace")
        #expect(
            status.targets == [
                TargetReport(binding: "web", reachable: true), TargetReport(binding: "dns", reachable: nil),
                TargetReport(binding: "dead", reachable: false, message: "connection refused"),
            ])

        // A connection is held open while its target, and that of a UDP flow, change.
        let held = try lab.relay.start(
            "sh", "-c", "(sleep 2; echo late; sleep 1) | socat - TCP:\(TunnelLab.uplinkAddress):80 > \(lab.folder)/held")
        usleep(500_000)
        let second = try lab.write([
            lab.forward("web", .tcp, 80, to: TunnelLab.secondTarget, 8080),
            lab.forward("dns", .udp, 53, to: TunnelLab.secondTarget, 5353),
        ])
        try eventually(within: .seconds(1)) { try lab.status().hash == second.hash }
        #expect(try lab.tcp(80) == "b 10.96.0.254\nhello\n")
        // Conntrack holds an unanswered flow for 30 s: one that stuck to its former target would not come round in 10.
        try eventually { try lab.udp(53) == "b\n" }
        held.waitUntilExit()
        #expect(try String(contentsOfFile: "\(lab.folder)/held", encoding: .utf8) == "a 10.96.0.254\nlate\n")

        // A broken document leaves the last good one in force.
        try lab.replaceDocument(Array("{\"format\": 1".utf8))
        try eventually { try lab.status().reason?.contains("is invalid") == true }
        #expect(try lab.status().ready)
        #expect(try lab.tcp(80).hasPrefix("b "))

        // Stopping: not ready at once, traffic goes on, then everything is gone.
        try lab.write([lab.forward("web", .tcp, 80, to: TunnelLab.firstTarget, 8080)])
        try eventually { try lab.tcp(80).hasPrefix("a ") }
        uplink.terminate()
        try eventually(within: .seconds(1)) { try lab.ready().hasSuffix("503") }
        #expect(try lab.tcp(80).hasPrefix("a "))
        uplink.waitUntilExit()
        #expect(uplink.terminationStatus == 0)
        #expect(try lab.uplink.execute("nft", "list", "ruleset") == "")
        #expect(try !lab.uplink.execute("ip", "link").contains("wg-uplink"))
        #expect(try lab.uplink.execute("sysctl", "-n", "net.ipv4.ip_forward") == "0\n")
        try eventually { try run("ip", "netns", "pids", lab.uplink.name) == "" }
    }

    @Test func theRelayReachesNothingButTheBindings() throws {
        let lab = try TunnelLab()
        try lab.serve("a", at: TunnelLab.firstTarget)
        try lab.uplink.start("socat", "TCP-LISTEN:7000,fork,reuseaddr", "SYSTEM:echo local")
        try lab.write([
            lab.forward("web", .tcp, 80, to: TunnelLab.firstTarget, 8080), lab.forward("own", .tcp, 83, to: "10.96.0.254", 7000),
            lab.forward("loop", .tcp, 84, to: "127.0.0.1", 7000), lab.forward("back", .tcp, 85, to: "10.200.0.1", 7001),
            lab.forward("ready", .tcp, 86, to: "10.96.0.254", 40500),
        ])
        _ = try lab.startUplink()
        try eventually { try lab.ready() == "ready\n200" }
        #expect(try lab.tcp(80).hasPrefix("a "))
        try eventually { try lab.tcp(83) == "local\n" }
        // Targets that are none for anybody.
        for port in 84...86 { #expect(throws: CommandFailure.self) { try lab.tcp(port) } }
        // A hostile relay sends to addresses behind the uplink, and to the uplink's own services.
        try lab.relay.execute("ip", "route", "add", "10.96.0.0/16", "dev", "wg-relay")
        #expect(throws: CommandFailure.self) { try lab.tcp(7000) }
        #expect(throws: CommandFailure.self) { try lab.tcp(8080, TunnelLab.firstTarget) }
        #expect(throws: CommandFailure.self) { try lab.tcp(7000, "10.96.0.254") }
        // Nor does the home network reach the relay, or the tunnel address.
        try lab.relay.start("socat", "TCP-LISTEN:7001,fork,reuseaddr", "SYSTEM:echo relay")
        #expect(throws: CommandFailure.self) {
            try lab.backend.execute("curl", "-sS", "-m", "1", "http://\(TunnelLab.uplinkAddress):40500/ready")
        }
        #expect(throws: CommandFailure.self) {
            try lab.backend.execute("sh", "-c", "socat - TCP:10.200.0.1:7001,connect-timeout=1 </dev/null")
        }
        // Forwarding was off before: nothing but our own flows uses it.
        try lab.relay.execute("ip", "route", "replace", "10.96.0.0/16", "via", "198.18.0.2")
        #expect(throws: CommandFailure.self) { try lab.tcp(8080, TunnelLab.firstTarget) }
        // The host itself reaches the relay's bridge.
        #expect(try lab.uplink.execute("sh", "-c", "socat - TCP:10.200.0.1:7001,connect-timeout=1 </dev/null") == "relay\n")
    }

    @Test func theBridgeLeadsToTheRelay() throws {
        let lab = try TunnelLab()
        try lab.write([])
        _ = try lab.startUplink("--bridge-address", "10.96.0.254", "--status-address", "10.96.0.254")
        try eventually { try lab.ready() == "ready\n200" }
        try lab.relay.start("socat", "TCP-LISTEN:40600,fork,reuseaddr", "SYSTEM:echo envoy $SOCAT_PEERADDR")
        try eventually {
            try lab.backend.execute("sh", "-c", "socat - TCP:10.96.0.254:40600,connect-timeout=1 </dev/null")
                == "envoy \(TunnelLab.uplinkAddress)\n"
        }
        #expect(try lab.backend.execute("curl", "-sS", "-m", "1", "http://10.96.0.254:40500/healthz") == "alive\n")
        #expect(
            try lab.backend.execute("curl", "-sS", "-m", "1", "http://10.96.0.254:40500/metrics").contains(
                "tidegate_uplink_ready 1\n"))
        #expect(throws: CommandFailure.self) {
            try lab.relay.execute("sh", "-c", "socat - TCP:198.18.0.2:40600,connect-timeout=1 </dev/null")
        }
    }

    @Test func aKilledUplinkIsTakenUpAgainAndDriftIsRepaired() throws {
        let lab = try TunnelLab(isConfigMap: true)
        try lab.serve("a", at: TunnelLab.firstTarget)
        try lab.write([lab.forward("web", .tcp, 80, to: TunnelLab.firstTarget, 8080)])
        let first = try lab.startUplink()
        try eventually { try lab.ready() == "ready\n200" }
        kill(first.processIdentifier, SIGKILL)
        first.waitUntilExit()
        // What it made goes on without it.
        #expect(try lab.tcp(80).hasPrefix("a "))
        try lab.uplink.execute("ip", "link", "delete", "wg-uplink")
        try lab.uplink.execute("nft", "delete", "chain", "ip", "tidegate", "postrouting")
        let second = try lab.startUplink("--drain", "0s")
        try eventually { try lab.ready() == "ready\n200" }
        #expect(try lab.tcp(80) == "a 10.96.0.254\nhello\n")
        // The interface goes from under it.
        try lab.uplink.execute("ip", "link", "delete", "wg-uplink")
        try eventually { try lab.tcp(80).hasPrefix("a ") }
        // The rules go, and forwarding; the look for drift of every kind would come after 30 s.
        try lab.uplink.execute("nft", "flush", "ruleset")
        try eventually(within: .seconds(5)) { try lab.tcp(80).hasPrefix("a ") }
        try lab.uplink.execute("sysctl", "-q", "-w", "net.ipv4.ip_forward=0")
        try eventually(within: .seconds(5)) { try lab.tcp(80).hasPrefix("a ") }
        // Scaled away: the document no longer has this replica.
        try lab.write([], ordinal: 1)
        try eventually(within: .seconds(2)) { try lab.ready().contains("no replica 0") }
        #expect(try lab.ready().hasSuffix("503"))
        second.terminate()
        second.waitUntilExit()
        // It was off before the first one turned it on.
        #expect(try lab.uplink.execute("sysctl", "-n", "net.ipv4.ip_forward") == "0\n")
    }
}
