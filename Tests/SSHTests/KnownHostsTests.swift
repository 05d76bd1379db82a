import NetworkTypes
import Testing

@testable import SSH

/// Public keys of ssh-keygen; the private halves were thrown away.
enum SampleKeys {
    static let ed25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG7BTOOuNwrE4l2uef2KzzbHrY1inOb8sTHBljMK8vaS"
    static let otherEd25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPWLx7BOMTC2NNrooJ3ICptl6P0agECitm/ZUEw+D+7c"
    static let ecdsa =
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBH1kSKdf27ZZxmKwhpaYU9+lJx88"
        + "4moDKt8hWgFXfcFJ6Ut5uRChfAuoAu1l3XYWiNqpZRR9q8w4BGRIe5i2Gxs="
}

func hostKey(_ text: String) throws -> HostKey {
    let blob = try #require(text.split(separator: " ").last.flatMap { decodeBase64(String($0)) })
    return try #require(HostKey(blob: blob))
}

struct KnownHostsTests {
    private func verdict(
        _ file: String, _ host: String, _ port: Int = 22, key: String = SampleKeys.ed25519
    ) throws -> KnownHosts.Verdict {
        try KnownHosts(parsing: file).check(host: HostAddress(parsing: host), port: Port(port), key: hostKey(key))
    }

    @Test func aListedKeyIsTrusted() throws {
        #expect(try verdict("# comment\n\nexample.com \(SampleKeys.ed25519) root@x\n", "example.com") == .trusted(line: 3))
        #expect(try verdict("a,192.0.2.7 \(SampleKeys.ed25519)", "192.0.2.7") == .trusted(line: 1))
        #expect(try verdict("  EXAMPLE.com\t\(SampleKeys.ed25519)\r\n", "example.com") == .trusted(line: 1))
        #expect(try verdict("2001:db8::1 \(SampleKeys.ed25519)", "2001:DB8:0::1") == .trusted(line: 1))
    }

    @Test func anUnlistedHostIsUnknown() throws {
        #expect(try verdict("", "example.com") == .unknown)
        #expect(try verdict("example.org \(SampleKeys.ed25519)", "example.com") == .unknown)
        #expect(try verdict("example.com \(SampleKeys.ed25519)", "www.example.com") == .unknown)
    }

    @Test func aBareHostIsForPort22Only() throws {
        #expect(try verdict("example.com \(SampleKeys.ed25519)", "example.com", 2222) == .unknown)
        #expect(try verdict("[example.com]:2222 \(SampleKeys.ed25519)", "example.com", 2222) == .trusted(line: 1))
        #expect(try verdict("[example.com]:2222 \(SampleKeys.ed25519)", "example.com") == .unknown)
        #expect(try verdict("[example.com]:2222 \(SampleKeys.ed25519)", "example.com", 2223) == .unknown)
        #expect(try verdict("[2001:db8::1]:2222 \(SampleKeys.ed25519)", "2001:db8::1", 2222) == .trusted(line: 1))
    }

    @Test func anotherKeyOfAnyTypeIsAMismatch() throws {
        let pinned = try hostKey(SampleKeys.otherEd25519)
        #expect(
            try verdict("\nexample.com \(SampleKeys.otherEd25519)", "example.com")
                == .mismatch(pinned: [.init(key: pinned, line: 2)]))
        let ecdsa = try hostKey(SampleKeys.ecdsa)
        #expect(try verdict("example.com \(SampleKeys.ecdsa)", "example.com") == .mismatch(pinned: [.init(key: ecdsa, line: 1)]))
        let both = "example.com \(SampleKeys.ecdsa)\nexample.com \(SampleKeys.ed25519)"
        #expect(try verdict(both, "example.com") == .trusted(line: 2))
    }

    @Test func aRevokedKeyIsRevokedWhateverElseStands() throws {
        let file = "example.com \(SampleKeys.ed25519)\n@revoked * \(SampleKeys.ed25519)\nother \(SampleKeys.ed25519)"
        #expect(try verdict(file, "example.com") == .revoked(line: 2))
        #expect(try verdict(file, "elsewhere.example") == .revoked(line: 2))
        #expect(try verdict("@revoked a \(SampleKeys.ed25519)\nb \(SampleKeys.ed25519)", "b") == .trusted(line: 2))
        #expect(try verdict("@revoked b \(SampleKeys.otherEd25519)\nb \(SampleKeys.ed25519)", "b") == .trusted(line: 2))
        #expect(try verdict("@revoked b \(SampleKeys.otherEd25519)", "b") == .unknown)
    }

    @Test func anUnreadableRevocationIsAnError() {
        for line in ["@revoked", "@revoked host", "@revoked host ssh-ed25519 AAAA", "@revoked |1|x|y \(SampleKeys.ed25519)"] {
            #expect(throws: InvalidValue.self, "\(line)") { try KnownHosts(parsing: "ok \(SampleKeys.ed25519)\n\(line)\n") }
        }
    }

    @Test func linesThatTeachNothingAreNamed() throws {
        let file = """
            @cert-authority *.example.com \(SampleKeys.ed25519)
            @trusted host \(SampleKeys.ed25519)
            host 1024 35 123456
            host ssh-ed25519 !!!!
            host ssh-rsa \(SampleKeys.ed25519.dropFirst(12))
            |1|AAAA|BBBB \(SampleKeys.ed25519)
            host
            """
        let known = try KnownHosts(parsing: file)
        #expect(known.ignoredLines.map(\.line) == [1, 2, 3, 4, 5, 6, 7])
        #expect(known.ignoredLines[0].reason.contains("certificates"))
        #expect(try verdict(file, "host") == .unknown)
        #expect(try verdict(file, "www.example.com") == .unknown)
    }

    @Test func keyTypesComeInFileOrder() throws {
        let known = try KnownHosts(
            parsing: """
                a \(SampleKeys.ecdsa)
                @revoked a \(SampleKeys.ed25519)
                a \(SampleKeys.otherEd25519)
                b \(SampleKeys.ed25519)
                """)
        #expect(try known.keyTypes(host: HostAddress(parsing: "a"), port: .ssh) == ["ecdsa-sha2-nistp256", "ssh-ed25519"])
        #expect(try known.keyTypes(host: HostAddress(parsing: "c"), port: .ssh) == [])
    }

    @Test func theLineToAddIsReadBack() throws {
        let key = try hostKey(SampleKeys.ed25519)
        for (host, port) in [("example.com", 22), ("example.com", 2222), ("2001:db8::1", 22), ("2001:db8::1", 2222)] {
            let address = try HostAddress(parsing: host)
            let line = try key.knownHostsLine(host: address, port: Port(port))
            #expect(try KnownHosts(parsing: line).check(host: address, port: Port(port), key: key) == .trusted(line: 1))
        }
    }

    @Test func patternsMatchAsGlobs() {
        func matches(_ glob: String, _ text: String) -> Bool { matchesGlob(Array(glob.utf8), Array(text.utf8)) }
        #expect(matches("*", "") && matches("*", "abc") && matches("a*c", "abbc") && matches("a?c", "abc"))
        #expect(!matches("a?c", "ac") && !matches("a*c", "abcd") && !matches("", "a") && matches("", ""))
        #expect(matches("*.example.*", "www.example.com") && !matches("*.example.com", "example.com"))
        // Takes for ever with a matcher that tries every way.
        #expect(!matches(String(repeating: "a*", count: 400) + "b", String(repeating: "a", count: 4000)))
    }

    /// Nothing a file can hold makes the parser trap, and no line is both used and ignored.
    @Test func anyTextIsReadWithoutTrapping() throws {
        var generator = SystemRandomNumberGenerator()
        let words = [
            "host \(SampleKeys.ed25519)\n", "@revoked", "@cert-authority", "@", "host", "|1|", "|1|AAAA|", "!", "*", "?", ",",
            "[h]:22", SampleKeys.ed25519,
            "ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5", "=", "\u{0}", "\t", " ", " ", "\n", "\r\n", "#", "é", "\u{202E}",
        ]
        var used = 0
        for _ in 0..<2000 {
            let text = (0..<Int.random(in: 0...12, using: &generator)).map { _ in words.randomElement(using: &generator) ?? "" }
            guard let known = try? KnownHosts(parsing: text.joined()) else { continue }
            let verdict = try known.check(host: HostAddress(parsing: "host"), port: .ssh, key: hostKey(SampleKeys.ed25519))
            if case .trusted(let line) = verdict {
                used += 1
                #expect(!known.ignoredLines.contains { $0.line == line })
            }
        }
        #expect(used > 0)
    }
}
