import NFTables
import NetlinkMessages
import NetworkTypes
import NodeDocument
import Sodium
import Testing
import WireGuardNetlink

@testable import UplinkAgent

@Suite struct UplinkPartTests {
    private let key: WireGuardPrivateKey

    init() throws { key = try WireGuardPrivateKey.generate() }

    @Test func anUplinkTakesItsOwnPart() throws {
        let forwards = [try sampleForward("web", .tcp, 80), try sampleForward("own", .udp, 53, to: "10.96.0.2")]
        let document = try sampleDocument(sampleContent(key.publicKey(), forwards: forwards))
        let part = try UplinkPart(of: document, ordinal: 0, privateKey: key, keyPath: "priv-0")
        #expect(part.prefix.description == "10.200.0.2/24")
        let peer = try #require(part.wireGuard(endpoint: nil).peers.first)
        // The relay's own address alone may come in, and be sent to.
        #expect(peer.allowedIPs.map(\.description) == ["10.200.0.1/32"])
        #expect(peer.persistentKeepalive == 25)
        var silent = try sampleContent(key.publicKey())
        silent.persistentKeepalive = 0
        let quiet = try UplinkPart(of: try sampleDocument(silent), ordinal: 0, privateKey: key, keyPath: "priv-0")
        let endpoint = WireGuardEndpoint(address: try IPAddress(parsing: "198.51.100.1"), port: try Port(51821))
        #expect(quiet.wireGuard(endpoint: endpoint).peers.map(\.persistentKeepalive) == [25])
        #expect(quiet.wireGuard(endpoint: nil).peers.map(\.persistentKeepalive) == [0])
        let ruleset = part.ruleset(bridge: .off, forwardsNothingElse: true)
        #expect(
            ruleset.forwards == [
                ForwardKey(.tcp, try Port(80)): ForwardTarget(try IPv4Address(parsing: "10.96.0.1"), try Port(80)),
                ForwardKey(.udp, try Port(53)): ForwardTarget(try IPv4Address(parsing: "10.96.0.2"), try Port(53)),
            ])
    }

    /// One bad forward, of whatever document, costs the others nothing.
    @Test(arguments: ["127.0.0.1", "169.254.169.254", "10.200.0.1", "224.0.0.1", "255.255.255.255", "203.0.113.10"])
    func forwardsToWhereNoneMayLeadAreLeftOut(_ target: String) throws {
        let forwards = [try sampleForward("web", .tcp, 80), try sampleForward("bad", .udp, 53, to: target)]
        var content = try sampleContent(key.publicKey(), forwards: forwards)
        content.relay.host = try HostAddress(parsing: "203.0.113.10")
        let part = try UplinkPart(of: try sampleDocument(content), ordinal: 0, privateKey: key, keyPath: "priv-0")
        #expect(part.content.forwards.map(\.binding) == ["web"])
        #expect(part.refused.map(\.forward.binding) == ["bad"])
        #expect(part.refused.allSatisfy { $0.reason.hasPrefix(target) })
        #expect(part.ruleset(bridge: .off, forwardsNothingElse: true).forwards.count == 1)
    }

    @Test func anotherOrdinalOrKeyIsRefused() throws {
        let document = try sampleDocument(sampleContent(key.publicKey()))
        #expect(throws: UplinkError.notListed(ordinal: 3)) {
            try UplinkPart(of: document, ordinal: 3, privateKey: key, keyPath: "priv-3")
        }
        let other = try WireGuardPrivateKey.generate()
        let error = try #require(throws: UplinkError.self) {
            try UplinkPart(of: document, ordinal: 0, privateKey: other, keyPath: "priv-0")
        }
        #expect("\(error)".contains("\(try key.publicKey())"))
    }

    @Test func settingsSayWhichReplicaAndWhichBridge() throws {
        #expect(try UplinkSettings.ordinal(podName: "edge-uplink-12") == 12)
        for name in ["", "edge", "edge-", "edge-x", "12", "edge-uplink-+1", "edge-99999999999999999999"] {
            #expect(throws: InvalidValue.self) { try UplinkSettings.ordinal(podName: name) }
        }
        var settings = UplinkSettings(documentPath: "d", keysPath: "/k", ordinal: 2)
        #expect(settings.keyPath == "/k/priv-2")
        #expect(settings.bridge == .off)
        settings.bridgeAddresses = [try IPv4Address(parsing: "10.0.0.1")]
        #expect(settings.bridge == .addresses(settings.bridgeAddresses))
        settings.bridgeAddresses.append(.any)
        #expect(settings.bridge == .everyAddress)
    }
}
