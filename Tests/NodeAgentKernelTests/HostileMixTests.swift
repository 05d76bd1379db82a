import Certificates
import EdgeAPI
import Fixtures
import Foundation
import NetworkTypes
import NodeDocument
import Planning
import Sodium
import TestCertificates
import TestNetwork
import Testing
import X509

import enum Crypto.P256

@testable import NodeAgent

/// Good and bad bindings and Secrets in random mixes, through the reader of Secrets, the planner, the agent and a real Envoy: each
/// good one serves, whatever came with it.
///
/// `TIDEGATE_MIXES` is how many; 500 take a quarter of an hour.
@Suite(.serialized) struct HostileMixTests {
    private func makeHost() throws -> EnvoyHostFixture {
        let host = try EnvoyHostFixture()
        // Without an uplink that is well Envoy ends a connection before it has shaken hands.
        try host.namespace.execute("ip", "address", "add", "10.200.0.2/24", "dev", "lo")
        try host.namespace.execute(
            "nft",
            "add table ip t; add chain ip t out { type nat hook output priority -100; }; "
                + "add rule ip t out ip daddr 10.200.0.2 tcp dport != 40500 redirect to :7777")
        try host.namespace.start("/usr/bin/python3", "-c", Self.uplink)
        return host
    }

    /// Says that it is ready, and takes whatever comes.
    private static let uplink = #"""
        import socket, threading
        def answer(connection):
            with connection:
                while connection.recv(4096): connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
        def listen(place, serve):
            with socket.create_server(place, backlog=128) as server:
                while True: threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
        def hold(connection):
            with connection:
                while connection.recv(4096): pass
        threading.Thread(target=listen, args=(('10.200.0.2', 40500), answer), daemon=True).start()
        listen(('0.0.0.0', 7777), hold)
        """#

    @Test func eachGoodOneServes() throws {
        let count = ProcessInfo.processInfo.environment["TIDEGATE_MIXES"].flatMap(Int.init) ?? 15
        var random = SeededRandom(seed: 12)
        let makers = try MixMakers()
        var (good, bad) = (0, 0)
        var host = try makeHost()
        for round in 0..<count {
            // Each host sees three mixes: what was refused, kept or left out before meets what comes next.
            if round > 0, round.isMultiple(of: 3) {
                host.stopEnvoy()
                host = try makeHost()
            }
            let mix = try Mix(makers, &random)
            let report = try host.apply(try host.document(epoch: UInt64(round + 1), mix.content))
            #expect(report.outcome == .applied, "mix \(round): \(report.problems)")
            let states = Dictionary(report.listeners.map { ($0.name, $0) }) { first, _ in first }
            for binding in mix.good {
                let refusal = report.refusedBindings?[binding.name]
                #expect(refusal == nil, "mix \(round): \(binding.name) is good: \(refusal ?? "")")
                let listener = states[binding.listener]
                #expect(
                    listener?.state == .active, "mix \(round): \(binding.name) on \(binding.listener): \(listener?.message ?? "")"
                )
            }
            for name in mix.spoiled {
                let isTold = report.refusedBindings?[name] != nil || states.values.contains { $0.state == .rejected }
                #expect(isTold, "mix \(round): \(name) is spoiled, and nobody says so")
            }
            if round.isMultiple(of: 3) {
                let complaint = try shown(mix.good, host)
                #expect(complaint == "", "mix \(round): \(complaint)")
            }
            good += mix.good.count
            bad += mix.bad
        }
        // The generator makes both in plenty.
        #expect(good > 2 * count && bad > count, "\(good) good, \(bad) bad")
    }

    /// Shakes hands with each by its name and compares the certificate; what has none is connected to.
    private func shown(_ bindings: [Mix.Good], _ host: EnvoyHostFixture) throws -> String {
        let wanted = bindings.map { [$0.listener, $0.hostname ?? "", $0.certificate ?? ""].joined(separator: ",") }
        return try host.namespace.execute("/usr/bin/python3", "-c", Self.client, wanted.joined(separator: " "))
    }

    private static let client = """
        import hashlib, socket, ssl, sys, time
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        def look(listener, name, wanted):
            kind, port = listener.split('-')
            if kind == 'udp':
                lines = open('/proc/net/udp6').read() + open('/proc/net/udp').read()
                return ':%04X ' % int(port) in lines
            with socket.create_connection(('127.0.0.1', int(port)), 2) as plain:
                if not wanted: return True
                with context.wrap_socket(plain, server_hostname=name or None) as secure:
                    return hashlib.sha256(secure.getpeercert(True)).hexdigest() == wanted
        for line in sys.argv[1].split():
            # A renewed secret is taken up a moment after its file is there, and so is an uplink that is well.
            until, seen = time.time() + 10, 'another certificate'
            while time.time() < until:
                try:
                    if look(*line.split(',')): break
                except OSError as error: seen = repr(error)
                time.sleep(0.05)
            else: print(line, seen)
        """
}

/// Certificates, keys, and what people make of their texts.
private struct MixMakers {
    struct Pair {
        var certificate: String
        var key: String
        /// SHA-256 of the certificate's DER, in hex.
        var fingerprint: String
    }

    let pairs: [Pair]
    /// Texts that mean the same.
    let shapes: [@Sendable (String) -> String] = [
        { $0 }, { $0.replacing("\n", with: "\r\n") }, { "\u{FEFF}" + $0 }, { "  " + $0 }, { $0.replacing("\n", with: " \n") },
        { "tls: " + $0 }, { String($0.dropLast()) + ";" }, { $0 + $0 }, { "# a comment\n" + $0 + "and words\n" },
    ]
    /// Texts that no reader takes.
    let faults: [@Sendable (String) -> String] = [
        { _ in "" }, { String($0.prefix(100)) }, { $0.replacing("\n", with: "\\n") }, { Data($0.utf8).base64EncodedString() },
        { $0.replacing("BEGIN", with: "BEGGIN") }, { _ in "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" },
    ]

    init() throws {
        pairs = try (0..<5).map { _ in
            let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
            let certificate = try certificatePEM(key, from: Date() - day, until: Date() + day)
            let body = certificate.split(separator: "\n").dropFirst().dropLast().joined()
            let der = try #require(Data(base64Encoded: body))
            return Pair(certificate: certificate, key: try pem(key), fingerprint: SHA256.digest(of: Array(der)).description)
        }
    }
}

/// Some bindings of one EdgeNode with their Secrets, planned; and what was spoiled after the planner had seen it, as a fault of the
/// reader or the planner would.
private struct Mix {
    struct Good {
        var name: String
        var listener: String
        var hostname: String?
        /// Nil where TLS does not end at the edge.
        var certificate: String?
    }

    private(set) var content: RelayContent
    private(set) var good: [Good] = []
    private(set) var spoiled: Set<String> = []
    private(set) var bad = 0

    init(_ makers: MixMakers, _ random: inout SeededRandom) throws {
        var bindings: [Binding] = []
        var certificates: [ObjectName: CertificateSource] = [:]
        var hopes: [String: Good] = [:]
        for index in 0..<Int.random(in: 3...9, using: &random) {
            let name = "b\(index)"
            let kind = Int.random(in: 0..<6, using: &random)
            if kind == 0 {
                bindings.append(try Fixtures.udp(name, 8100 + index))
                hopes[name] = Good(name: name, listener: "udp-\(8100 + index)")
                continue
            }
            if kind == 1 {
                bindings.append(try Fixtures.tcp(name, 8100 + index, to: nil))
                hopes[name] = Good(name: name, listener: "tcp-\(8100 + index)")
                continue
            }
            // Some alone on a port, most beside others by name.
            let port = kind == 2 ? 8100 + index : 8443 + index % 2
            let hostname = kind == 2 ? nil : "\(name).test"
            let pair = try #require(makers.pairs.randomElement(using: &random))
            let isMutual = Bool.random(using: &random)
            var hope: Good? = Good(name: name, listener: "tcp-\(port)", hostname: hostname, certificate: pair.fingerprint)
            var texts = ["tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": pair.certificate]
            for key in texts.keys.sorted() {
                let shape = try #require(makers.shapes.randomElement(using: &random))
                texts[key] = texts[key].map(shape)
            }
            if Int.random(in: 0..<3, using: &random) == 0 {
                let key = ["tls.crt", "tls.key", "ca.crt"].randomElement(using: &random) ?? "tls.key"
                if key == "tls.key", Bool.random(using: &random) {
                    texts[key] = makers.pairs.first { $0.key != pair.key }?.key
                } else {
                    let fault = try #require(makers.faults.randomElement(using: &random))
                    texts[key] = texts[key].map(fault)
                }
                hope = nil
            }
            let secret = NamespacedReference(name: name)
            let mode: TLSOptions.Mode = isMutual ? .mutual(secret) : .offload(secret)
            let options = TCPOptions(tls: TLSOptions(mode: mode, hostnames: hostname.map { [$0] } ?? []))
            bindings.append(try Fixtures.tcp(name, port, to: nil, options))
            certificates[ObjectName(namespace: "default", name: name)] = readTLSSecret(try tlsSecret(texts), now: Date())
            if let hope { hopes[name] = hope }
        }
        var input = try planInput(try edgeNode(), [portBinding("mix", bindings)], certificates: certificates)
        input.envoyRelease = EnvoyRelease(version: "1.40.0", sha256: nil, url: nil)
        let plan = makePlan(input)
        for conflict in plan.exclusions where hopes[conflict.binding.name] != nil {
            Issue.record("\(conflict.binding) is good: \(conflict.message)")
        }
        content = plan.relay
        for planned in plan.planned where Int.random(in: 0..<4, using: &random) == 0 {
            let name = planned.id.name
            spoil(name, makers, &random)
            if spoiled.contains(name) { hopes[name] = nil }
        }
        good = hopes.values.filter { hope in plan.planned.contains { $0.id.name == hope.name } }.sorted { $0.name < $1.name }
        bad = bindings.count - good.count
    }

    /// Whatever Envoy refuses: of the secret, or the part of the listener. One without TLS stays as it is.
    private mutating func spoil(_ name: String, _ makers: MixMakers, _ random: inout SeededRandom) {
        guard let index = content.envoy.bindings.firstIndex(where: { $0.name == name }),
            var tls = content.envoy.bindings[index].tls
        else { return }
        spoiled.insert(name)
        if var material = tls.material, Int.random(in: 0..<3, using: &random) > 0 {
            let texts = ["", "nonsense\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "\u{0}"]
            let text = texts.randomElement(using: &random) ?? ""
            switch Int.random(in: 0..<3, using: &random) {
            case 0: material.certificateChain = text
            case 1 where material.certificateAuthority != nil: material.certificateAuthority = text
            default:
                material = TLSMaterial(
                    certificateChain: material.certificateChain, privateKey: text,
                    certificateAuthority: material.certificateAuthority)
            }
            tls.material = material
        } else {
            tls.hostnames = ["\(name)*.test"]
        }
        content.envoy.bindings[index].tls = tls
    }
}
