import Foundation
import LinkRelay
import NIOCore
import NetworkTypes
import NodeDocument
import Sodium
import TestLinks
import TestNetwork
import TestPrograms
import Testing

/// An uplink with a tunnel and links, and on its way from the one to the others.
@Suite(.serialized, .timeLimit(.minutes(4))) struct TwoWaysTests {
    @Test func `Tunnel and links carry at once, and each goes when the other has come`() async throws {
        let lab = try TunnelLab()
        let rig = try await LinkRig(tcp: [80, 40500], uplinkKey: LinkPrivateKey(of: lab.privateKey))
        _ = try await rig.relay.listen(at: SocketAddress(unixDomainSocketPath: "\(lab.folder)/links"))
        try lab.relay.start("socat", "TCP-LISTEN:443,fork,reuseaddr,backlog=64", "UNIX-CONNECT:\(lab.folder)/links")
        try lab.serve("a", at: TunnelLab.firstTarget)
        let forward = try lab.forward("web", .tcp, 80, to: TunnelLab.firstTarget, 8080)
        func write(_ carriers: [TunnelCarrier]) throws -> SHA256Digest {
            let link = UplinkLink(
                carriers: carriers, pin: rig.relayKey.pin, host: try HostAddress(parsing: "198.18.0.1"), port: try Port(443),
                hostname: "a.invalid", path: LinkRig.path, url: nil, connections: 2)
            return try lab.write([forward], link: carriers == [.wireGuard] ? nil : link).hash
        }
        func ask(_ path: String) throws -> String {
            try run("curl", "-sS", "-m", "2", "http://\(rig.address):40500\(path)")
        }
        func status() throws -> UplinkReport { try DocumentJSON.decode(UplinkReport.self, from: Array(ask("/status").utf8)) }
        func probe() throws -> String {
            try lab.relay.execute("curl", "-sS", "-m", "2", "http://198.18.0.2:40501/ready")
        }

        _ = try write([.wireGuard, .tls])
        let process = try lab.startUplink("--probe-address", "0.0.0.0", "--drain", "1s")
        defer { process.terminate() }
        try eventually { try lab.ready() == "ready\n200" }
        try eventually { try status().carriers == [.wireGuard, .tls] }
        #expect(try lab.tcp(80) == "a 10.96.0.254\nhello\n")
        let held = try await rig.connect(80)
        try await expectNext(on: held, .bytes(Array("a 10.96.0.254\n".utf8)))

        // Links alone: the tunnel goes, and nothing of it is left.
        let second = try write([.tls])
        for _ in 0..<20 {
            #expect(try probe() == "ready\n")
            usleep(100_000)
        }
        try eventually { try status().hash == second && status().carriers == [.tls] }
        try eventually { try lab.uplink.execute("nft", "list", "ruleset") == "" }
        #expect(try lab.uplink.execute("sysctl", "-n", "net.ipv4.ip_forward") == "0\n")
        #expect(!(try lab.uplink.execute("ip", "-br", "link").contains("wg-uplink")))
        try held.send([65])
        try await expectNext(on: held, .bytes([65]))

        // WireGuard alone: the links stay until there is a tunnel.
        let third = try write([.wireGuard])
        try eventually { try lab.ready() == "ready\n200" && lab.status().hash == third }
        #expect(try lab.tcp(80) == "a 10.96.0.254\nhello\n")
        try held.send([66])
        try await expectNext(on: held, .bytes([66]))
        #expect(try lab.status().carriers == [.wireGuard])
        #expect(await comes { await isRefused(rig.address, 80) })
        try held.send([67])
        try await expectNext(on: held, .bytes([67]))
    }
}
