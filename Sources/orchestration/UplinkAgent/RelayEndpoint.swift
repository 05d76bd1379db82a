import NetworkTypes
import NodeDocument
import WireGuardNetlink

/// When the relay's name is looked up again, and when its endpoint is set: WireGuard does neither by itself.
///
/// A host whose address changed (a VPS built anew behind the same name) is found again only so. A fresh handshake proves
/// the endpoint the device has, even one it learned from the relay's packets, so that one is left alone then.
struct RelayEndpoint: Sendable {
    /// WireGuard makes a new handshake after 120 s and tries for 5 s at a time (REKEY_AFTER_TIME, REKEY_TIMEOUT of its
    /// protocol page): one older than this has failed more than once.
    static let staleAfter = Duration.seconds(135)
    /// A relay that is silent for so long, though it was spoken to (`RelaySilence`) and its Envoy checks every 5 s by default,
    /// may be elsewhere.
    static let silentAfter = Duration.seconds(20)
    /// Between look-ups while the handshake is stale, or the relay silent.
    static let retryAfter = Duration.seconds(15)

    private var relay: UplinkRelay?
    /// What the last look-up gave.
    private(set) var address: IPAddress?
    private var lastLookUp: Duration?
    private var mustSet = false

    var host: HostAddress? { relay?.host }

    /// Takes the relay of a new document. Another host, port or key (a VPS built anew) is dialed at once.
    mutating func aim(at relay: UplinkRelay) {
        guard relay != self.relay else { return }
        self.relay = relay
        address = nil
        lastLookUp = nil
        mustSet = true
    }

    /// The host to be looked up now; nil when there is no need.
    /// - Parameters:
    ///   - now: of any steady clock.
    ///   - handshakeAge: nil when there never was one.
    ///   - silence: since the relay was last heard.
    func lookUpNow(_ now: Duration, handshakeAge: Duration?, silence: Duration) -> HostAddress? {
        guard let host else { return nil }
        guard let lastLookUp else { return host }
        guard now - lastLookUp >= Self.retryAfter else { return nil }
        return address == nil || Self.isStale(handshakeAge) || silence >= Self.silentAfter ? host : nil
    }

    /// Takes the answer, in the host's order of preference; where there is none, what is known is kept.
    ///
    /// An address that gave no handshake for long makes place for the one after it: a relay of both families is found where only one
    /// of them works. One that is merely silent is kept as long as the name has it.
    mutating func lookedUp(_ answers: [IPAddress], at now: Duration, handshakeAge: Duration?) {
        lastLookUp = now
        guard let first = answers.first else { return }
        var next = first
        if let address, let index = answers.firstIndex(of: address) {
            next = Self.isStale(handshakeAge) ? answers[(index + 1) % answers.count] : address
        }
        mustSet = mustSet || next != address
        address = next
    }

    /// What the device shall be given; nil leaves what it has.
    func endpointToSet(handshakeAge: Duration?) -> WireGuardEndpoint? {
        guard let address, let relay, mustSet || Self.isStale(handshakeAge) else { return nil }
        return WireGuardEndpoint(address: address, port: relay.port)
    }

    /// The device has been given its endpoint.
    mutating func wasSet() { mustSet = false }

    private static func isStale(_ age: Duration?) -> Bool { age.map { $0 > staleAfter } ?? true }
}
