import CLinuxHeaders
import Fixtures
import HostFirewall
import NetlinkMessages
import NetworkTypes
import RouteNetlink
import Sodium

@testable import NFTables
@testable import WireGuardNetlink

/// The kernel's answers. The first byte says how the rest is meant: 0 as the datagram itself, 1…6 as what a datagram with that
/// family header is made of, so that lengths fit more often than chance would have it.
@Sendable func fuzzNetlink(_ input: [UInt8]) {
    guard let kind = input.first else { return }
    var source = input.dropFirst()
    let headers = [0, 16, 8, 12, 4, 72, 20]
    let datagram: [UInt8]
    if kind % 7 == 0 {
        datagram = Array(source)
    } else {
        var bytes: [UInt8] = []
        while !source.isEmpty { bytes += message(&source, header: headers[Int(kind % 7)]) }
        datagram = bytes
    }
    do throws(MalformedNetlink) {
        let replies = try NetlinkReply.parse(datagram[...])
        require(replies.count * 16 <= datagram.count, "each message has its header")
        for reply in replies {
            if let verdict = attempt({ () throws(MalformedNetlink) in try reply.verdict() }) { requireSound(verdict) }
            decode(reply)
        }
        decode(replies)
    } catch {
        requirePrintable(error.description)
    }
}

/// Type, length of the family's header's own bytes, and attributes.
private func message(_ source: inout ArraySlice<UInt8>, header length: Int) -> [UInt8] {
    func byte() -> UInt8 { source.popFirst() ?? 0 }
    let (type, flags) = (byte(), byte())
    var body = (0..<length).map { _ in byte() }
    attributes(&source, into: &body, depth: 0)
    let total = UInt32(16 + body.count)
    var bytes = withUnsafeBytes(of: total) { Array($0) }
    bytes += [type, flags & 0x0F, flags >> 4, flags & 0x03, 9, 0, 0, 0, 0, 0, 0, 0]
    return bytes + body
}

/// Each begins with a type and a length: 0…0x7F is a payload, from 0x80 on a nest of that many; 0xFF ends what is open.
private func attributes(_ source: inout ArraySlice<UInt8>, into body: inout [UInt8], depth: Int) {
    while let type = source.popFirst(), type != 0xFF {
        let size = source.popFirst() ?? 0
        var payload: [UInt8] = []
        if size < 0x80 {
            payload = Array(source.prefix(Int(size)))
            source = source.dropFirst(Int(size))
        } else if depth < 8 {
            attributes(&source, into: &payload, depth: depth + 1)
        }
        guard payload.count < 65_000 else { return }
        body += withUnsafeBytes(of: UInt16(payload.count + 4)) { Array($0) } + [type, 0] + payload
        while body.count % 4 != 0 { body.append(0) }
    }
}

private func attempt<Value>(_ body: () throws(MalformedNetlink) -> Value?) -> Value? {
    do throws(MalformedNetlink) {
        return try body()
    } catch {
        requirePrintable(error.description)
        return nil
    }
}

private func requireSound(_ verdict: NetlinkVerdict) {
    switch verdict {
    case .acknowledged(let code, _), .done(let code, _): require(code >= 0, "an errno is not negative")
    case .nothing: break
    }
}

private func decode(_ reply: NetlinkReply) {
    if let link = attempt({ () throws(MalformedNetlink) in try Link(reply) }) {
        require(link.index > 0, "a link has a number")
        for setting in [IPv4Setting.forwarding, .routeLocalnet] { _ = link.ipv4(setting) }
        requireEncodes([link.delete(), link.setMTU(1400), link.setUp()])
    }
    if let address = attempt({ () throws(MalformedNetlink) in try InterfaceAddress(reply) }) {
        require(IPPrefix(address.prefix.description) == address.prefix, "an address has a prefix")
        requireEncodes([address.add(linkName: interface), address.delete(linkName: interface)])
    }
    if let route = attempt({ () throws(MalformedNetlink) in try Route(reply) }) {
        require(IPPrefix(route.destination.description) == route.destination, "a route has a destination")
        requireEncodes([route.add(linkName: interface), route.delete(linkName: interface)])
    }
    if let features = attempt({ () throws(MalformedNetlink) in try DeviceFeatures(reply) }) {
        require(features.active.isSuperset(of: features.activeOffloads), "what is listed is on")
    }
    for transport in TransportProtocol.allCases {
        if let socket = attempt({ () throws(MalformedNetlink) in try BoundSocket(reply, transport: transport) }) {
            require(socket.port.number > 0, "a socket has a port")
        }
    }
    _ = attempt { () throws(MalformedNetlink) in try GenericFamily(reply) }
}

private let interface = required("a name") { InterfaceName("wg-fuzz") }

private func requireEncodes(_ messages: [NetlinkMessage]) {
    for message in messages {
        guard let bytes = attempt({ () throws(MalformedNetlink) in try message.encoded(sequence: 1) }) else { continue }
        let replies = required("our own message can be read") { () throws(MalformedNetlink) in try NetlinkReply.parse(bytes[...])
        }
        require(replies.count == 1 && replies[0].type == message.type, "our own message is one")
    }
}

private func decode(_ replies: [NetlinkReply]) {
    if let device = try? WireGuardDeviceStatus(replies) {
        for peer in device.peers {
            for prefix in peer.allowedIPs { require(IPPrefix(prefix.description) == prefix, "an allowed IP is a prefix") }
        }
        requireUpdate(from: device)
    }
    for flow in attempt({ () throws(MalformedNetlink) in try TrackedFlow.flows(in: replies) }) ?? [] {
        requireEncodes([flow.deletion])
    }
    let host = attempt { () throws(MalformedNetlink) in
        try HostRuleset(chains: replies, rules: replies, sets: replies, elements: replies)
    }
    if let host {
        _ = host.forwardDrops(besides: UplinkRuleset.table)
        if let drop = host.drop(of: packet) { require(drop.remedy.contains("443"), "the remedy is for the port") }
    }
    _ = attempt { () throws(MalformedNetlink) in try RulesetQueries.generation(in: replies) }
    _ = attempt { () throws(MalformedNetlink) in try RulesetState.mapsAreThere(in: replies) }
    let state = attempt { () throws(MalformedNetlink) in
        try RulesetState(table: replies, chains: replies, rules: replies, maps: replies, elements: replies)
    }
    // Without a table the change is always the same.
    guard let state, state.tableFlags != nil else { return }
    let change = RulesetChange(from: state, to: ruleset)
    if change.kind == .none { require(state.forwards == ruleset.forwards, "nothing to do means equal") }
    requireEncodes(change.transaction(generation: 1))
}

private let packet = required("a port") { InboundPacket(.v4, .tcp, try Port(443)) }

private let ruleset = required("a ruleset") {
    UplinkRuleset(
        interface: "wg-uplink", address: try IPv4Address(parsing: "10.200.0.2"), relay: try IPv4Address(parsing: "10.200.0.1"),
        bridge: .everyAddress, forwardsNothingElse: true,
        forwards: [ForwardKey(.tcp, try Port(443)): ForwardTarget(try IPv4Address(parsing: "10.96.0.1"), try Port(8443))])
}

private let wanted = required("a device") {
    WireGuardDeviceConfiguration(
        privateKey: try WireGuardPrivateKey.generate(), listenPort: .defaultTunnel,
        peers: [
            WireGuardPeerConfiguration(
                publicKey: try publicKey(1), persistentKeepalive: 25, allowedIPs: [IPPrefix(try CIDR(parsing: "10.200.0.2/32"))])
        ])
}

private func requireUpdate(from device: WireGuardDeviceStatus) {
    // It costs an operation on the curve, which is too much for all the inputs that say nothing.
    guard !device.peers.isEmpty || device.publicKey != nil else { return }
    let update = required("an update") { () throws(SodiumError) in try WireGuardDeviceUpdate(from: device, to: wanted) }
    for change in update.changes { requirePrintable("\(change)") }
    let text = WireGuardSocketText.set(update)
    require(WireGuardSocketText.isComplete(text), "what is sent to wireguard-go ends")
    requireEncodes(WireGuardMessages.set(update, on: interface, family: GenericFamily(name: "wireguard", number: 20)))
}

/// wireguard-go's answers.
@Sendable func fuzzSocketText(_ input: [UInt8]) {
    _ = WireGuardSocketText.isComplete(input)
    do throws(MalformedWireGuardText) {
        require(try WireGuardSocketText.errno(in: input) >= 0, "an errno is not negative")
    } catch {
        requirePrintable(error.description)
    }
    guard let device = try? WireGuardDeviceStatus(socketText: input) else { return }
    for peer in device.peers {
        for prefix in peer.allowedIPs { require(IPPrefix(prefix.description) == prefix, "an allowed IP is a prefix") }
        if let endpoint = peer.endpoint { requirePrintable(endpoint.description) }
        if let time = peer.lastHandshake { require(time > 0, "a handshake is after 1970") }
    }
    requireUpdate(from: device)
}
