import Foundation
import NetworkTypes
import Testing

@testable import SSH

struct HostKeyKernelTests {
    @Test func anUnknownHostKeyIsRefusedBeforeAnythingIsOffered() async throws {
        let server = try TestServer("LogLevel DEBUG1")
        let text = try String(contentsOfFile: server.folder + "/host_ed25519.pub", encoding: .utf8)
        let error = try await server.refusal(policy: .knownHosts(KnownHosts(parsing: "\n@cert-authority * \(text)")))
        guard case .hostKeyUnknown(let key, let line, let ignored) = error.reason else {
            Issue.record("\(error)")
            return
        }
        #expect(ignored.map(\.line) == [2])
        #expect("\(error)".contains("line 2 is ignored: @cert-authority"))
        #expect(text.hasPrefix(line.split(separator: " ").dropFirst().joined(separator: " ")))
        let fingerprint = try run("/usr/bin/ssh-keygen", ["-l", "-f", server.folder + "/host_ed25519.pub"])
        #expect(fingerprint.contains(key.fingerprint))
        #expect("\(error)".contains(line))
        #expect(!server.log.contains("userauth-request"), "\(server.log)")
        // The line it gives is the line that helps.
        let connection = try await server.connect(policy: .knownHosts(KnownHosts(parsing: line)))
        #expect(connection.hostKey == key)
        #expect(server.log.contains("userauth-request"))
        await connection.close()
    }

    @Test func aChangedHostKeyIsRefusedWithBothFingerprints() async throws {
        let server = try TestServer()
        let other = try TestServer()
        let pinned = try other.knownHosts()
        let error = try await server.refusal(policy: .knownHosts(pinned))
        guard case .hostKeyChanged(let key, _, let known) = error.reason else {
            Issue.record("\(error)")
            return
        }
        #expect(known.map(\.line) == [1])
        #expect(known.first?.key.fingerprint != key.fingerprint)
        #expect("\(error)".contains(key.fingerprint) && "\(error)".contains(known.first?.key.fingerprint ?? "?"))
        #expect(error.needsUser)
    }

    @Test func aRevokedHostKeyIsRefused() async throws {
        let server = try TestServer()
        let key = try String(contentsOfFile: server.folder + "/host_ed25519.pub", encoding: .utf8)
        let file = "[127.0.0.1]:2222 \(key)@revoked * \(key)"
        let error = try await server.refusal(policy: .knownHosts(KnownHosts(parsing: file)))
        guard case .hostKeyRevoked(_, line: 2) = error.reason else {
            Issue.record("\(error)")
            return
        }
    }

    @Test func thePinnedTypeIsTheOneAskedFor() async throws {
        let server = try TestServer(hostKeys: ["ecdsa", "ed25519"])
        for type in ["ecdsa", "ed25519"] {
            let connection = try await server.connect(policy: .knownHosts(server.knownHosts(type)))
            #expect(connection.hostKey.type.contains(type))
            await connection.close()
        }
        let any = try await server.connect(policy: .insecureAcceptAny)
        #expect(any.hostKey.type == "ssh-ed25519")
        await any.close()
    }

    @Test func aServerWithNothingInCommonIsExplained() async throws {
        for (configuration, kind, word) in [
            // What 1.11 speaks with; see `HardenedKernelTests`.
            ("HostKeyAlgorithms rsa-sha2-512,rsa-sha2-256", SSHError.AlgorithmKind.hostKey, "rsa-sha2-512"),
            ("Ciphers chacha20-poly1305@openssh.com", .cipher, "chacha20-poly1305@openssh.com"),
        ].dropLast(Algorithms.isLibraryNew ? 2 : 0) + [
            ("KexAlgorithms sntrup761x25519-sha512@openssh.com", .keyExchange, "sntrup761x25519-sha512@openssh.com"),
            ("MACs umac-64@openssh.com\nCiphers aes128-ctr", .mac, "umac-64@openssh.com"),
        ] {
            let server = try TestServer(configuration, hostKeys: ["rsa", "ed25519"])
            let error = try await server.refusal()
            guard case .noCommonAlgorithm(kind, let offered, let supported) = error.reason else {
                Issue.record("\(configuration): \(error)")
                continue
            }
            #expect(offered.contains(word) && !supported.isEmpty && !supported.contains(word))
        }
    }
}
