import Certificates
import EdgeAPI
import EnvoyConfig
import FoundationEssentials
import NetworkTypes
import NodeDocument
import Planning
import RouteNetlink
import Sodium

@testable import NodeAgent

/// What programs of the VPS say: Envoy on its admin socket and when it refuses a configuration, an uplink on /status, systemd,
/// /proc/net, /etc/passwd.
@Sendable func fuzzEnvoy(_ input: [UInt8]) {
    let whole = reply(input, isAtEnd: true)
    // Whatever is an answer before the end stays that answer: more bytes and the end change nothing.
    for count in Set([input.count / 2, input.count - 1, input.count]) where count >= 0 {
        if let early = reply(Array(input.prefix(count)), isAtEnd: false) {
            require(early == whole, "an answer is the same whenever it is read")
        }
    }
    let text = String(decoding: whole?.body ?? input, as: UTF8.self)
    _ = EnvoyStats(text)
    requirePrintable(EnvoyProof.reason(text))
    if let dump = try? DocumentJSON.decode(EnvoyDump.self, from: whole?.body ?? input) {
        for (_, reason) in dump.refusals { requirePrintable(reason) }
    }
    _ = EnvoyAccount.find(inPasswd: input)
    if let ranges = parsePortRanges(text) {
        let joined = portRanges(ranges)
        require(zip(joined, joined.dropFirst()).allSatisfy { $0.upperBound + 1 < $1.lowerBound }, "ranges are apart")
    }
    if let run = try? DocumentJSON.decode(EnvoyRun.self, from: input) { _ = run.serving }
    for (_, state) in UnitState.parse(text) { _ = (state.isRunning, state.isEnabled) }
    for transport in TransportProtocol.allCases {
        for socket in SocketTable.parse(text, transport: transport) { require(socket.port.number > 0, "a socket has a port") }
    }
}

private func reply(_ bytes: [UInt8], isAtEnd: Bool) -> HTTPReply? {
    do throws(MalformedHTTP) {
        guard let reply = try HTTPReplyParser.parse(bytes, isAtEnd: isAtEnd) else { return nil }
        require((0...999).contains(reply.status), "a status has three digits")
        require(reply.body.count <= bytes.count, "a body comes out of the answer")
        return reply
    } catch {
        requirePrintable(error.reason)
        return nil
    }
}

/// A `kubernetes.io/tls` Secret: the chain, then 0xFF and the key.
@Sendable func fuzzCertificates(_ input: [UInt8]) {
    let (chain, key) = halves(input)
    let secret = required("there is memory") { () throws(SodiumError) in
        Secret(
            metadata: ObjectMeta(name: "tls"),
            data: [
                "tls.crt": try SecretBytes(copying: chain), "tls.key": try SecretBytes(copying: key),
                "ca.crt": try SecretBytes(copying: chain),
            ])
    }
    let end = certificateEnd(of: secret)
    switch readTLSSecret(secret, now: Date(timeIntervalSince1970: 1_800_000_000)) {
    case .usable(let material):
        require(end != nil, "a certificate that is served has an end")
        require(Array(material.certificateChain.utf8) == chain, "the chain is served as it is")
    case .unusable(let reason): requirePrintable(reason)
    }
}
