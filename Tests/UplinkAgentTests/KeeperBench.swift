import HostNetwork
import NFTables
import NetlinkMessages
import NetworkTypes
import NodeDocument
import Sodium
import WireGuardNetlink

@testable import UplinkAgent

/// A keeper and the host it works on, both without time of their own. Seconds are those of the steady clock, and 1000 before those of the
/// other.
struct KeeperBench {
    var keeper = TunnelKeeper()
    let host: HostAddress
    let address: IPAddress
    let first: Result<TunnelKeeper.Reading, UplinkError>
    let other: TunnelKeeper.Reading
    let both: Result<TunnelKeeper.Reading, UplinkError>
    let linksAlone: Result<TunnelKeeper.Reading, UplinkError>
    private let interface: InterfaceName
    private let relay: WireGuardPublicKey

    // What the host answers.
    var reading: Result<TunnelKeeper.Reading, UplinkError>
    var status: Result<Void, UplinkError> = .success(())
    var changes: [HostChange] = []
    var refusal: UplinkError?
    var renewal: UplinkError?
    var obstacles: [UplinkHost.Obstacle] = []
    var handshake: Int64?
    /// Whether nothing comes from the relay.
    var isSilent = false
    private var received: UInt64 = 0
    var flows = 5
    var isTouched = false
    var isLinked = false
    /// Bytes that the path carries.
    var width = 1420
    private var probed: Int?

    init(relay name: String = "relay.example") throws {
        let key = try WireGuardPrivateKey.generate()
        relay = try key.publicKey()
        interface = try InterfaceName(parsing: "wg-uplink")
        host = try HostAddress(parsing: name)
        address = try IPAddress(parsing: "198.51.100.1")
        func reading(_ forwards: [Forward], _ carriers: [TunnelCarrier] = []) throws -> TunnelKeeper.Reading {
            var content = try sampleContent(key.publicKey(), host: name, forwards: forwards)
            if !carriers.isEmpty { content.link = try sampleLink(carriers) }
            let document = try sampleDocument(content)
            return TunnelKeeper.Reading(
                part: try UplinkPart(of: document, ordinal: 0, privateKey: key, keyPath: "priv-0"), source: document.hash)
        }
        first = .success(try reading([]))
        other = try reading([try sampleForward("web", .tcp, 80)])
        both = .success(try reading([], [.wireGuard, .tls]))
        linksAlone = .success(try reading([], [.tls]))
        self.reading = first
    }

    var dialing: HostChange { .link(interface, .wireGuard(.peer(relay, .endpoint(endpoint, was: nil)))) }

    private var endpoint: WireGuardEndpoint { WireGuardEndpoint(address: address, port: .defaultTunnel) }

    /// - Parameter names: of changes, with spaces between them.
    func changes(named names: String) -> [HostChange] {
        names.split(separator: " ").map { name in
            switch name {
            case "dialing": dialing
            case "keepalive": .link(interface, .wireGuard(.peer(relay, .persistentKeepalive(25, was: 0))))
            case "mtu": .link(interface, .mtu(1420, was: 1280))
            default: .ruleset(.create)
            }
        }
    }

    /// Does what the runner does.
    /// - Returns: everything that was done, in words.
    mutating func turn(_ event: KeeperEvents.Event, at second: Int) -> String {
        let moment = Moment(wall: 1000 + Int64(second), steady: .seconds(second))
        var words: [String] = []
        perform(keeper.handle(.came(event), moment), moment, &words)
        perform(keeper.due(moment), moment, &words)
        return words.joined(separator: ", ")
    }

    private mutating func perform(_ actions: [TunnelKeeper.Action], _ moment: Moment, _ words: inout [String]) {
        for action in actions {
            words.append(Self.words(action))
            if let answer = answer(action) { perform(keeper.handle(answer, moment), moment, &words) }
        }
    }

    private mutating func answer(_ action: TunnelKeeper.Action) -> TunnelKeeper.Event? {
        switch action {
        case .read: return .read(reading)
        case .leave: return isLinked ? .left : nil
        case .look:
            defer { probed = nil }
            if !isSilent { received += 1 }
            return .looked(
                status.map {
                    let peer = WireGuardPeerStatus(
                        publicKey: relay, endpoint: endpoint, lastHandshake: handshake, receivedBytes: received)
                    return TunnelKeeper.Look(
                        status: UplinkHost.Status(
                            kind: .kernel, device: WireGuardDeviceStatus(peers: [peer]),
                            tracking: TrackingRoom.Look(flows: flows, limit: 65_536, evicted: 0, dropped: 0),
                            isTouched: isTouched),
                        isAskedEachSecond: false, probeArrived: probed.map { $0 <= width } ?? false)
                })
        case .settle(let wanted): return .settled(wanted, refusal.map { .failure($0) } ?? .success(changes))
        case .renew: return renewal.map { .notRenewed($0) }
        case .findObstacles: return .found(obstacles)
        case .probe(_, let bytes):
            probed = bytes
            return nil
        case .lookUp, .speak, .widenTracking, .note: return nil
        }
    }

    private static func words(_ action: TunnelKeeper.Action) -> String {
        switch action {
        case .read(let known): known == nil ? "read" : "read known"
        case .look: "look"
        case .settle(let wanted):
            "settle" + (wanted.endpoint.map { " dialing \($0)" } ?? "") + (wanted.part.pathMTU.map { " mtu \($0)" } ?? "")
        case .lookUp(let name): "look up \(name)"
        case .renew: "renew"
        case .speak: "speak"
        case .probe(_, let bytes): "probe \(bytes)"
        case .widenTracking(let flows, _): "widen to \(flows)"
        case .findObstacles: "find obstacles"
        case .leave: "leave"
        case .note(let note): words(note)
        }
    }

    private static func words(_ note: TunnelKeeper.Note) -> String {
        switch note {
        case .linking(let part): "linking(\(part.links?.connections ?? 0))"
        case .applied(_, let changes): "applied(\(HostChange.words(changes)))"
        case .changed(let changes): "changed(\(HostChange.words(changes)))"
        case .repaired(let changes): "repaired(\(HostChange.words(changes)))"
        case .failed(let error, let isNew): "failed(\(error))" + (isNew ? "" : " again")
        case .sound: "sound"
        case .lookedUp(_, isCurrent: false): "looked up another"
        case .lookedUp(let problem, _): "looked up" + (problem.map { ": \($0)" } ?? "")
        case .deviceLost: "device lost"
        case .looked(_, _, _, let crowding): crowding == nil ? "looked" : "looked crowded"
        case .renewing(let endpoint): "renewing(\(endpoint))"
        case .notRenewed(let error): "not renewed(\(error))"
        case .narrowPath(let found, let wanted): "narrow path(\(found) of \(wanted))"
        case .widened, .notWidened, .removed, .notRemoved: "the runner's"
        case .obstacle(.firewall(let chain)): "obstacle(\(chain))"
        }
    }
}
