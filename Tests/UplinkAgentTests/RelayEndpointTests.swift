import NetworkTypes
import NodeDocument
import Sodium
import Testing
import WireGuardNetlink

@testable import UplinkAgent

@Suite struct RelayEndpointTests {
    private let relay: UplinkRelay
    private let first: IPAddress
    private let second: IPAddress

    init() throws {
        relay = try sampleContent(WireGuardPrivateKey.generate().publicKey()).relay
        first = try IPAddress(parsing: "198.51.100.1")
        second = try IPAddress(parsing: "2001:db8::1")
    }

    @Test func aNewRelayIsLookedUpAndSetAtOnce() {
        var endpoint = RelayEndpoint()
        #expect(endpoint.lookUpNow(.seconds(0), handshakeAge: nil, silence: .seconds(0)) == nil)
        endpoint.aim(at: relay)
        #expect(endpoint.lookUpNow(.seconds(0), handshakeAge: .seconds(5), silence: .seconds(0)) == relay.host)
        #expect(endpoint.endpointToSet(handshakeAge: .seconds(5)) == nil)
        endpoint.lookedUp([first], at: .seconds(0), handshakeAge: nil)
        #expect(endpoint.endpointToSet(handshakeAge: .seconds(5))?.description == "198.51.100.1:51821")
        endpoint.wasSet()
        // The device may have learned a better one since.
        #expect(endpoint.endpointToSet(handshakeAge: .seconds(5)) == nil)
    }

    @Test func aSilentRelayIsLookedUpAgain() {
        var endpoint = RelayEndpoint()
        endpoint.aim(at: relay)
        endpoint.lookedUp([first], at: .seconds(0), handshakeAge: nil)
        endpoint.wasSet()
        #expect(endpoint.lookUpNow(.seconds(100), handshakeAge: .seconds(135), silence: .seconds(0)) == nil)
        #expect(endpoint.lookUpNow(.seconds(100), handshakeAge: .seconds(136), silence: .seconds(0)) == relay.host)
        #expect(endpoint.lookUpNow(.seconds(14), handshakeAge: nil, silence: .seconds(0)) == nil)
        endpoint.lookedUp([second], at: .seconds(100), handshakeAge: .seconds(136))
        #expect(endpoint.endpointToSet(handshakeAge: .seconds(10))?.description == "[2001:db8::1]:51821")
    }

    @Test func eachAddressHasItsTurn() {
        var endpoint = RelayEndpoint()
        endpoint.aim(at: relay)
        endpoint.lookedUp([second, first], at: .seconds(0), handshakeAge: nil)
        #expect(endpoint.address == second)
        endpoint.lookedUp([second, first], at: .seconds(15), handshakeAge: nil)
        #expect(endpoint.address == first)
        endpoint.lookedUp([second, first], at: .seconds(30), handshakeAge: nil)
        #expect(endpoint.address == second)
    }

    /// Long before its handshake is stale; but only a name that has moved is followed then.
    @Test func aSilentRelayWhoseNameMovedIsFollowed() {
        var endpoint = RelayEndpoint()
        endpoint.aim(at: relay)
        endpoint.lookedUp([first, second], at: .seconds(0), handshakeAge: nil)
        endpoint.wasSet()
        #expect(endpoint.lookUpNow(.seconds(100), handshakeAge: .seconds(30), silence: .seconds(19)) == nil)
        #expect(endpoint.lookUpNow(.seconds(100), handshakeAge: .seconds(30), silence: .seconds(20)) == relay.host)
        endpoint.lookedUp([first, second], at: .seconds(100), handshakeAge: .seconds(30))
        #expect(endpoint.endpointToSet(handshakeAge: .seconds(30)) == nil)
        #expect(endpoint.lookUpNow(.seconds(114), handshakeAge: .seconds(44), silence: .seconds(34)) == nil)
        endpoint.lookedUp([second], at: .seconds(115), handshakeAge: .seconds(45))
        #expect(endpoint.endpointToSet(handshakeAge: .seconds(45))?.description == "[2001:db8::1]:51821")
    }

    @Test func anUnansweredLookUpKeepsWhatIsKnownAndIsRepeated() {
        var endpoint = RelayEndpoint()
        endpoint.aim(at: relay)
        endpoint.lookedUp([], at: .seconds(0), handshakeAge: nil)
        #expect(endpoint.lookUpNow(.seconds(14), handshakeAge: .seconds(5), silence: .seconds(0)) == nil)
        #expect(endpoint.lookUpNow(.seconds(15), handshakeAge: .seconds(5), silence: .seconds(0)) == relay.host)
        endpoint.lookedUp([first], at: .seconds(15), handshakeAge: nil)
        endpoint.lookedUp([], at: .seconds(200), handshakeAge: nil)
        #expect(endpoint.address == first)
    }

    @Test func aVPSBuiltAnewIsDialedAgainThoughItsNameIsTheSame() throws {
        var endpoint = RelayEndpoint()
        endpoint.aim(at: relay)
        endpoint.lookedUp([first], at: .seconds(0), handshakeAge: nil)
        endpoint.wasSet()
        endpoint.aim(at: relay)
        #expect(endpoint.lookUpNow(.seconds(1), handshakeAge: .seconds(5), silence: .seconds(0)) == nil)
        endpoint.aim(at: try sampleContent(WireGuardPrivateKey.generate().publicKey()).relay)
        #expect(endpoint.lookUpNow(.seconds(1), handshakeAge: .seconds(5), silence: .seconds(0)) == relay.host)
    }
}
