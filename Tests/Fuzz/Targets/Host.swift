import Certificates
import EdgeAPI
import EnvoyConfig
import FoundationEssentials
import NetworkTypes
import NodeDocument
import Planning
import RouteNetlink
import Sodium

@testable import Enrollment
@testable import NodeAgent
@testable import SSH

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
    if let dump = try? DocumentJSON.decode(EnvoyDump.self, from: whole?.body ?? input, within: .ofEnvoysUser) {
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

/// What a host answers to a command, and prints beside it: standard output, 0xFF, standard error. 0x01 stands for the command's nonce, which
/// a host knows.
@Sendable func fuzzAnswers(_ input: [UInt8]) {
    let exchange = ShellExchange("true", elevation: .none)
    let nonce = exchange.ready(within: .seconds(1)).text.utf8.drop { $0 != UInt8(ascii: " ") }.dropFirst()
    let (output, error) = halves(input)
    let result = ExecResult(
        status: 1, signal: nil, standardOutput: output.flatMap { $0 == 1 ? Array(nonce) : [$0] }, standardError: error,
        inputBytesSent: 0)
    let answer = exchange.answer(result)
    require(answer.hasShell || !answer.hasBegun, "nothing begins without a shell")
    require(answer.hasBegun || answer.output.isEmpty && answer.status == nil, "what was not begun has no answer")
    require(answer.report.count <= answer.output.count, "a report is in the output")
    _ = answer.isLine("tidegate-absent")
    requirePrintable(answer.ending)
    let login = NodeLogin(
        host: required("an address") { () throws(InvalidValue) in try HostAddress(parsing: "192.0.2.1") }, user: "root",
        sudoPassword: nil)
    let trouble = LoginTrouble(login: login, result: result).error
    requirePrintable(trouble.message)
    require(trouble.message.count < 2000, "a sentence has an end")
    for elevation in [Elevation.none, .sudo] {
        do throws(EnrollmentError) { try elevation.check(answer, login: login) } catch { requirePrintable(error.message) }
    }
    do throws(EnrollmentError) { _ = try ElevationProbe.elevation(answer, login: login) } catch {
        requirePrintable(error.message)
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
        // What was parsed is served, in a form of its own: reading it again changes nothing.
        let again = required("there is memory") { () throws(SodiumError) in
            Secret(
                metadata: secret.metadata,
                data: [
                    "tls.crt": try SecretBytes(copying: Array(material.certificateChain.utf8)),
                    "tls.key": try SecretBytes(copying: key),
                ])
        }
        if case .usable(let same) = readTLSSecret(again, now: Date(timeIntervalSince1970: 1_800_000_000)) {
            require(same.certificateChain == material.certificateChain, "a chain that was read reads as itself")
        }
    case .unusable(let reason): requirePrintable(reason)
    }
}
