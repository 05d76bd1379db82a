import NetworkTypes
import NodeDocument
import Testing

@testable import NodeAgent
@testable import RouteNetlink

@Suite struct PortCheckTests {
    private func socket(
        _ address: String, _ port: Int, _ transport: TransportProtocol = .tcp, uid: UInt32 = 0, isConnected: Bool = false
    ) throws -> BoundSocket {
        BoundSocket(
            transport: transport, address: try IPAddress(parsing: address), port: try Port(port), isConnected: isConnected,
            uid: uid, inode: 5)
    }

    private func check(_ sockets: [BoundSocket]) throws -> (bound: Set<String>, taken: Set<String>) {
        let relay = try IPv4Address(parsing: "10.200.0.1")
        let listeners = try [
            EnvoyListener(.tcp, Port(443), bindings: ["a"]), EnvoyListener(.udp, Port(443), bindings: ["b"]),
            EnvoyListener(bridgeAt: relay),
        ]
        let check = PortCheck(listeners, sockets: sockets, envoy: 900)
        return (check.bound, Set(check.taken.keys))
    }

    @Test func envoysOwnSocketsAreKnownByTheirUser() throws {
        let (bound, taken) = try check([
            socket("::", 443, uid: 900), socket("::", 443, .udp, uid: 900), socket("10.200.0.1", 40600, uid: 900),
        ])
        #expect(bound == ["tcp-443", "udp-443", "bridge"])
        #expect(taken == [])
    }

    @Test(arguments: ["0.0.0.0", "::", "127.0.0.1", "127.0.0.53", "2001:db8::1"]) func anyAddressTakesAPublicPort(
        _ address: String
    ) throws {
        #expect(try check([socket(address, 443)]).taken == ["tcp-443"])
        #expect(try check([socket(address, 443, .udp)]).taken == ["udp-443"])
    }

    @Test func theBridgeMindsItsOwnAddressAlone() throws {
        #expect(try check([socket("127.0.0.1", 40600)]).taken == [])
        #expect(try check([socket("0.0.0.0", 40600)]).taken == ["bridge"])
        #expect(try check([socket("::", 40600)]).taken == ["bridge"])
        #expect(try check([socket("10.200.0.1", 40600)]).taken == ["bridge"])
    }

    @Test func clientsOfUDPAreNoListeners() throws {
        #expect(try check([socket("192.168.0.9", 443, .udp, isConnected: true)]).taken == [])
    }

    @Test func aListenerThatWorksIsNotGivenUpForANewcomer() throws {
        let (bound, taken) = try check([socket("127.0.0.1", 443), socket("::", 443, uid: 900)])
        #expect(bound == ["tcp-443"])
        #expect(taken == [])
    }

    @Test func messageNamesPlaceAndHolder() throws {
        let listener = EnvoyListener(.udp, try Port(53), bindings: ["dns"])
        let message = PortCheck.message(listener, try socket("::1", 53, .udp, uid: 12), owner: nil)
        #expect(message.hasPrefix("UDP port 53 is taken on the host by a process of user id 12 at [::1]:53;"))
    }
}
