import Certificates
import Crypto
import EdgeAPI
import Fixtures
import Foundation
import NodeDocument
import Sodium
import TestCertificates
import TestPrograms
import Testing
import X509

/// PEM text as people have it: handed on as it was parsed, or refused with a sentence.
@Suite struct PEMShapesTests {
    private static let key = Certificate.PrivateKey(P256.Signing.PrivateKey())
    private static let other = Certificate.PrivateKey(P256.Signing.PrivateKey())

    struct Shape: Sendable, CustomTestStringConvertible {
        let name: String
        let change: @Sendable (_ pem: String) -> String
        var testDescription: String { name }
    }

    private static func body(_ pem: String) -> String { pem.split(separator: "\n").dropFirst().dropLast().joined() }
    private static func rewrapped(_ pem: String, _ columns: Int) -> String {
        let lines = pem.split(separator: "\n")
        let body = Array(body(pem))
        let wrapped = stride(from: 0, to: body.count, by: columns).map { String(body[$0..<min($0 + columns, body.count)]) }
        return ([String(lines[0])] + wrapped + [String(lines[lines.count - 1])]).joined(separator: "\n") + "\n"
    }

    /// Of a certificate and of a key alike.
    static let shapes: [Shape] = [
        Shape(name: "as openssl writes it") { $0 },
        Shape(name: "no line end at the end") { String($0.dropLast()) },
        Shape(name: "CRLF") { $0.replacing("\n", with: "\r\n") },
        Shape(name: "blanks at the ends of lines") { $0.replacing("\n", with: " \t\n") },
        Shape(name: "76 columns") { rewrapped($0, 76) },
        Shape(name: "one line of base64") { rewrapped($0, 100_000) },
        Shape(name: "7 columns") { rewrapped($0, 7) },
        Shape(name: "a blank line after BEGIN") { $0.replacing("-----\n", with: "-----\n\n", maxReplacements: 1) },
        Shape(name: "blank lines everywhere") { $0.replacing("\n", with: "\n\n") },
        Shape(name: "a byte order mark") { "\u{FEFF}" + $0 },
        Shape(name: "indented") { $0.split(separator: "\n").map { "    \($0)\n" }.joined() },
        Shape(name: "BEGIN alone indented") { "  " + $0 },
        Shape(name: "text around") { "subject=CN = x\n" + $0 + "what follows\n" },
        Shape(name: "text on the line of BEGIN") { "tls: " + $0 },
        Shape(name: "a semicolon behind END") { String($0.dropLast()) + ";\n" },
        Shape(name: "bag attributes") { "Bag Attributes\n    friendlyName: x\nKey Attributes: <No Attributes>\n" + $0 },
        Shape(name: "a commented block before") { $0.split(separator: "\n").map { "# \($0)\n" }.joined() + $0 },
    ]

    private func material(_ secret: Secret) -> TLSMaterial? {
        switch readTLSSecret(secret, now: testNow) {
        case .usable(let material): return material
        case .unusable(let reason):
            Issue.record("unusable: \(reason)")
            return nil
        }
    }

    private func reason(_ secret: Secret) -> String? {
        guard case .unusable(let reason) = readTLSSecret(secret, now: testNow) else { return nil }
        return reason
    }

    @Test(arguments: shapes) func isHandedOnInOneForm(shape: Shape) throws {
        let (certificate, authority) = (try certificatePEM(Self.key), try certificatePEM(Self.other))
        let key = try pem(Self.key)
        let found = material(
            try tlsSecret([
                "tls.crt": shape.change(certificate), "tls.key": shape.change(key), "ca.crt": shape.change(authority),
            ]))
        #expect(found?.certificateChain == certificate)
        #expect(found?.privateKey.text == key)
        #expect(found?.certificateAuthority == authority)
        if let found { try expectOpenSSLTakes(found) }
    }

    @Test func readsABundleAsItIsGlued() throws {
        let (leaf, middle) = (try certificatePEM(Self.key), try certificatePEM(Self.other))
        let key = try pem(Self.key)
        for text in [
            leaf + middle, String(leaf.dropLast()) + middle, key + leaf + middle, leaf + key + middle,
            leaf + leaf + middle + middle,
            leaf + "-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n" + middle,
            (leaf + middle).replacing("BEGIN CERT", with: "BEGIN X509 CERT").replacing("END CERT", with: "END X509 CERT"),
            (leaf + middle).replacing("BEGIN CERT", with: "BEGIN TRUSTED CERT").replacing("END CERT", with: "END TRUSTED CERT"),
        ] {
            let found = material(try tlsSecret(["tls.crt": text, "tls.key": leaf + key + key, "ca.crt": text]))
            #expect(found?.certificateChain == leaf + middle)
            #expect(found?.privateKey.text == key)
            // The CA's key stays at home.
            #expect(found?.certificateAuthority == leaf + middle)
        }
    }

    @Test func passesOverTextOfAnyEncoding() throws {
        let (certificate, key) = (try certificatePEM(Self.key), try pem(Self.key))
        let latin1: [UInt8] = Array("Bag Attributes\n    friendlyName: B".utf8) + [0xFC, 0x63, 0x68, 0x65, 0x72, 0x0A]
        var secret = try tlsSecret([:])
        for (name, text) in [("tls.crt", certificate), ("tls.key", key), ("ca.crt", certificate)] {
            secret.data[name] = try SecretBytes(copying: latin1 + Array(text.utf8) + latin1)
        }
        let found = material(secret)
        #expect(found?.certificateChain == certificate && found?.privateKey.text == key)
    }

    /// What openssl x509 -trustout adds: uses that it is trusted for, or an alias alone.
    @Test func readsATrustedCertificateOfWhichNothingIsLimited() throws {
        let certificate = try certificatePEM(Self.key)
        let der = try #require(Data(base64Encoded: Self.body(certificate)))
        func trusted(_ auxiliary: [UInt8]) -> String {
            "-----BEGIN TRUSTED CERTIFICATE-----\n\((der + auxiliary).base64EncodedString())\n-----END TRUSTED CERTIFICATE-----\n"
        }
        let serverAuth: [UInt8] = [0x30, 12, 0x30, 10, 0x06, 8, 0x2B, 6, 1, 5, 5, 7, 3, 1]
        let rejected: [UInt8] = [0x30, 12, 0xA0, 10, 0x06, 8, 0x2B, 6, 1, 5, 5, 7, 3, 2]
        let alias: [UInt8] = [0x30, 3, 0x0C, 1, 0x78]
        let key = try pem(Self.key)
        for auxiliary in [[], alias] {
            let found = material(
                try tlsSecret(["tls.crt": trusted(auxiliary), "tls.key": key, "ca.crt": trusted(auxiliary)]))
            #expect(found?.certificateChain == certificate && found?.certificateAuthority == certificate)
        }
        for auxiliary in [serverAuth, rejected] {
            let found = material(try tlsSecret(["tls.crt": trusted(auxiliary), "tls.key": key]))
            #expect(found?.certificateChain == certificate)
            let refused = try tlsSecret(["tls.crt": certificate, "tls.key": key, "ca.crt": trusted(auxiliary)])
            #expect(
                reason(refused)
                    == "block 1 of ca.crt says what it is trusted for, which Tidegate does not check; write it anew by openssl x509"
            )
        }
    }

    static let refusals: [(String, @Sendable (String) -> String, String)] = [
        ("folded", { $0.replacing("\n", with: " ") }, "cannot be read: its lines are folded into one"),
        ("\\n", { $0.replacing("\n", with: "\\n") }, "cannot be read: its line ends are written out as \\n"),
        ("base64", { Data($0.utf8).base64EncodedString() }, "cannot be read: it is base64 twice"),
        ("behind BEGIN", { $0.replacing("-----\n", with: "-----;\n", maxReplacements: 1) }, "has something behind -----BEGIN "),
        ("four dashes", { $0.replacing("-----\n", with: "----\n", maxReplacements: 1) }, "has a first line that is not"),
        ("cut short", { String($0.prefix(120)) }, "has no line -----END "),
        ("no END", { String($0.prefix(120)) + "\n" + $0 }, "has no line -----END "),
        ("other END", { $0.replacing("-----END ", with: "-----END X") }, "and ends as something else"),
        ("a letter lost", { rewrapped(String($0.prefix(80)) + $0.dropFirst(81), 64) }, "is not base64, or is cut short"),
        ("typographic", { $0.replacing("\nM", with: "\n\u{200B}M", maxReplacements: 1) }, "is not base64, or is cut short"),
        ("header", { $0.replacing("-----\n", with: "-----\nComment: x\n\n", maxReplacements: 1) }, "has a line with a colon"),
        ("empty", { $0.split(separator: "\n").first.map { "\($0)\n" } ?? "" + $0.suffix(26) }, "has no line -----END "),
    ]

    @Test(arguments: refusals.indices, ["tls.crt", "tls.key", "ca.crt"])
    func isRefusedWithASentence(index: Int, name: String) throws {
        let (_, change, words) = Self.refusals[index]
        var texts = try ["tls.crt": certificatePEM(Self.key), "tls.key": pem(Self.key), "ca.crt": certificatePEM(Self.other)]
        texts[name] = try change(#require(texts[name]))
        let reason = reason(try tlsSecret(texts))
        #expect(reason?.contains(name) == true && reason?.contains(words) == true, "\(reason ?? "taken")")
    }

    @Test func doesNotDropAListOfRevokedCertificates() throws {
        let certificate = try certificatePEM(Self.key)
        let list = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"
        let secret = try tlsSecret(["tls.crt": certificate, "tls.key": pem(Self.key), "ca.crt": certificate + list])
        #expect(reason(secret)?.contains("X509 CRL") == true)
    }

    /// Whatever becomes of a text, what is handed on is in the one form that Envoy takes.
    @Test func mutationsNeverGetThrough() throws {
        let texts = [
            try certificatePEM(Self.key) + certificatePEM(Self.other), try pem(Self.key), try certificatePEM(Self.other),
        ]
        var random = Seeded(state: 12)
        let pieces: [[UInt8]] =
            [
                "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "-----", "\n", "\r", " ", ";", "#", ":", "\u{FEFF}",
                "=", "A",
            ].map { Array($0.utf8) } + [[0xFC]]
        var usable = 0
        for _ in 0..<300 {
            var secret = try tlsSecret([:])
            for (name, text) in zip(["tls.crt", "tls.key", "ca.crt"], texts) {
                var bytes = Array(text.utf8)
                for _ in 0..<Int.random(in: 0...2, using: &random) {
                    let place = Int.random(in: 0...bytes.count, using: &random)
                    if Bool.random(using: &random) {
                        bytes.insert(contentsOf: pieces.randomElement(using: &random) ?? [], at: place)
                    } else {
                        bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 0...3, using: &random)))
                    }
                }
                secret.data[name] = try SecretBytes(copying: bytes)
            }
            guard case .usable(let material) = readTLSSecret(secret, now: testNow) else { continue }
            usable += 1
            expectCanonical(material.certificateChain, labels: ["CERTIFICATE"])
            expectCanonical(material.privateKey.text, labels: ["PRIVATE KEY"])
            if let authority = material.certificateAuthority { expectCanonical(authority, labels: ["CERTIFICATE"]) }
        }
        #expect((5..<290).contains(usable), "\(usable) of 300 were usable")
    }

    /// As long as a Secret can be: nothing is read more often than a few times.
    @Test(arguments: ["-----BEGIN ", "-----BEGIN A-----\n", "-----END A-----", "-", "-----BEGIN A-----\n-----END A-----\n", "\n"])
    func isQuickWithAMegabyteOfNothing(piece: String) throws {
        let text = String(repeating: piece, count: (1 << 20) / piece.utf8.count)
        let secret = try tlsSecret(["tls.crt": text, "tls.key": pem(Self.key)])
        let start = ContinuousClock.now
        #expect(reason(secret) != nil)
        #expect(ContinuousClock.now - start < .seconds(5))
    }

    private func expectCanonical(_ text: String, labels: Set<String>) {
        var rest = text.split(separator: "\n", omittingEmptySubsequences: false)[...]
        #expect(rest.popLast() == "")
        while let begin = rest.popFirst() {
            let label = begin.dropFirst(11).dropLast(5)
            #expect(begin == "-----BEGIN \(label)-----" && labels.contains(String(label)))
            let lines = rest.prefix { !$0.hasPrefix("-") }
            #expect(lines.dropLast().allSatisfy { $0.utf8.count == 64 } && (1...64).contains(lines.last?.utf8.count ?? 0))
            #expect(Data(base64Encoded: lines.joined())?.isEmpty == false)
            rest = rest.dropFirst(lines.count)
            #expect(rest.popFirst() == "-----END \(label)-----")
        }
    }

    private func expectOpenSSLTakes(_ material: TLSMaterial) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tidegate-pem-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        for (text, arguments) in [
            (material.certificateChain, ["x509", "-noout"]), (material.privateKey.text, ["pkey", "-noout"]),
        ] {
            let file = folder.appending(path: "text")
            try Data(text.utf8).write(to: file)
            #expect(try ProgramRun("/usr/bin/openssl", arguments + ["-in", file.path()]).status == 0, "openssl \(arguments)")
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
private struct Seeded: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
