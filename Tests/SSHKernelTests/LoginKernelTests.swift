import Foundation
import NetworkTypes
import Sodium
import Testing

@testable import SSH

struct LoginKernelTests {
    private func password(_ text: String = TestServer.password) throws -> SecretBytes {
        try SecretBytes(copying: Array(text.utf8))
    }

    private func output(_ connection: SSHConnection) async throws -> String {
        let result = try await connection.execute("echo hello")
        await connection.close()
        return String(decoding: result.standardOutput, as: UTF8.self)
    }

    @Test func keysOfEveryFormatLogIn() async throws {
        let server = try TestServer()
        for (name, type, options, passphrase) in [
            ("ed", "ed25519", [], ""), ("ed-locked", "ed25519", [], "open sesame"), ("ec", "ecdsa", [], ""),
            ("ec384", "ecdsa", ["-b", "384"], ""), ("ec521", "ecdsa", ["-b", "521"], "open sesame"),
            ("ec-pem", "ecdsa", ["-m", "PEM"], ""), ("ec-pem-locked", "ecdsa", ["-m", "PEM"], "open sesame"),
            ("ec-pkcs8", "ecdsa", ["-m", "PKCS8"], ""), ("ec-pkcs8-locked", "ecdsa", ["-m", "PKCS8"], "open sesame"),
        ] {
            let key = try server.userKey(name, type: type, options: options, passphrase: passphrase)
            let connection = try await server.connect(credentials: SSHCredentials(user: "root", privateKey: key))
            #expect(try await output(connection) == "hello\n", "\(name)")
        }
    }

    @Test func aPasswordLogsIn() async throws {
        let server = try TestServer("PasswordAuthentication yes")
        let login = try SSHCredentials(user: "root", privateKey: nil, password: password())
        #expect(try await output(server.connect(credentials: login)) == "hello\n")

        let wrong = try SSHCredentials(user: "root", privateKey: nil, password: password("wrong"))
        let error = try await server.refusal(credentials: wrong)
        #expect(error.reason == .authenticationRefused(tried: ["password"], offered: ["publickey", "password"], hints: []))
        #expect(error.needsUser)
        #expect(!"\(error)".contains("wrong"))
    }

    @Test func keyboardInteractiveIsAnsweredWithThePassword() async throws {
        let server = try TestServer("UsePAM yes\nKbdInteractiveAuthentication yes")
        let login = try SSHCredentials(user: "root", privateKey: nil, password: password())
        #expect(try await output(server.connect(credentials: login)) == "hello\n")

        let wrong = try SSHCredentials(user: "root", privateKey: nil, password: password("wrong"))
        let error = try await server.refusal(credentials: wrong)
        #expect(
            error.reason
                == .authenticationRefused(
                    tried: ["keyboard-interactive"], offered: ["publickey", "keyboard-interactive"], hints: []))
    }

    @Test func methodsFollowOneAnother() async throws {
        let server = try TestServer("PasswordAuthentication yes\nAuthenticationMethods publickey,password")
        let key = try SSHPrivateKey(file: server.secret("user"))
        let both = try SSHCredentials(user: "root", privateKey: key, password: password())
        #expect(try await output(server.connect(credentials: both)) == "hello\n")
        let error = try await server.refusal()
        #expect(error.reason == .secondFactorWanted(["password"], hints: []))

        // A key the server does not know, then the right password.
        let other = try TestServer("PasswordAuthentication yes")
        let login = try SSHCredentials(user: "root", privateKey: key, password: password())
        #expect(try await output(other.connect(credentials: login)) == "hello\n")
    }

    /// MaxAuthTries counts what fails, and the question for the methods too unless that comes first.
    @Test(arguments: [1, 2, 3]) func aStaleKeyLeavesTheRightPasswordItsTry(tries: Int) async throws {
        let server = try TestServer("PasswordAuthentication yes\nMaxAuthTries \(tries)")
        let stranger = try TestServer().credentials().privateKey
        let login = try SSHCredentials(user: "root", privateKey: stranger, password: password())
        #expect(try await output(server.connect(credentials: login)) == "hello\n")
        #expect(server.logged("Failed password") == 0)

        let wrong = try SSHCredentials(user: "root", privateKey: stranger, password: password("wrong"))
        let error = try await server.refusal(credentials: wrong)
        guard case .authenticationRefused(let tried, _, let hints) = error.reason else {
            Issue.record("\(error)")
            return
        }
        #expect(tried == ["publickey", "password"])
        #expect(error.needsUser)
        #expect(hints.contains { $0.contains("MaxAuthTries") } == (tries < 3), "\(error)")
        #expect(server.logged("Failed password") == 1, "no password is tried twice")
    }

    @Test(arguments: [1, 2]) func aKeyAloneIsNotCalledDamaged(tries: Int) async throws {
        let server = try TestServer("MaxAuthTries \(tries)")
        let error = try await server.refusal(credentials: TestServer().credentials())
        guard case .authenticationRefused(tried: ["publickey"], _, _) = error.reason else {
            Issue.record("\(error)")
            return
        }
        #expect(error.needsUser)
    }

    @Test func aSecondFactorIsNamed() async throws {
        let server = try TestServer(
            "UsePAM yes\nKbdInteractiveAuthentication yes\nAuthenticationMethods publickey,keyboard-interactive")
        let error = try await server.refusal()
        #expect(error.reason == .secondFactorWanted(["keyboard-interactive"], hints: []))
        #expect("\(error)".contains("Match User"))
        #expect(error.needsUser)
        let key = try server.credentials().privateKey
        let wrong = try SSHCredentials(user: "root", privateKey: key, password: password("123456"))
        let refused = try await server.refusal(credentials: wrong)
        #expect(
            refused.reason
                == .secondFactorWanted(
                    ["keyboard-interactive"], hints: [#"it asked "Password: " and did not take the Secret's password"#]))
        let right = try SSHCredentials(user: "root", privateKey: key, password: password())
        #expect(try await output(server.connect(credentials: right)) == "hello\n")
    }

    /// The same PAM would count the same password twice.
    @Test func aWrongPasswordIsOfferedOnce() async throws {
        let server = try TestServer("UsePAM yes\nKbdInteractiveAuthentication yes\nPasswordAuthentication yes")
        let wrong = try SSHCredentials(user: "root", privateKey: nil, password: password("wrong"))
        let error = try await server.refusal(credentials: wrong)
        guard case .authenticationRefused(tried: ["password"], _, _) = error.reason else {
            Issue.record("\(error)")
            return
        }
    }

    @Test func aKeyNobodyKnowsIsRefused() async throws {
        let server = try TestServer()
        let stranger = try TestServer().credentials()
        let error = try await server.refusal(credentials: stranger)
        #expect(error.reason == .authenticationRefused(tried: ["publickey"], offered: ["publickey"], hints: []))
    }

    @Test func anRSAKeyIsRefusedWithTheReason() async throws {
        // By 1.11 it logs in: `rsaKeysLogIn`.
        guard !Algorithms.isLibraryNew else { return }
        let server = try TestServer()
        for options in [["-b", "2048"], ["-b", "2048", "-m", "PEM"]] {
            let key = try server.userKey("rsa\(options.count)", type: "rsa", options: options)
            let error = try await server.refusal(credentials: SSHCredentials(user: "root", privateKey: key))
            #expect("\(error)".contains("cannot sign with RSA and SHA-2"), "\(error)")
            #expect("\(error)".contains("ed25519 or ECDSA"), "\(error)")
        }
    }

    @Test func aWrongPassphraseIsNamed() async throws {
        let server = try TestServer()
        for (name, type, options) in [("a", "ed25519", []), ("b", "ecdsa", ["-m", "PEM"])] {
            _ = try server.userKey(name, type: type, options: options, passphrase: "right")
            let key = try SSHPrivateKey(file: server.secret(name), passphrase: password("wrong"))
            let error = try await server.refusal(credentials: SSHCredentials(user: "root", privateKey: key))
            guard case .keyUnreadable(let text) = error.reason else {
                Issue.record("\(error)")
                continue
            }
            #expect(text.contains("passphrase is wrong"))
        }
    }

    @Test func aDamagedKeyIsNamed() async throws {
        let server = try TestServer()
        let lines = try String(contentsOfFile: server.folder + "/user", encoding: .utf8).split(separator: "\n")
        // Whole at its head, cut behind it.
        let cut = (lines[0...2] + [lines[lines.count - 1]]).joined(separator: "\n")
        let key = try SSHPrivateKey(file: SecretBytes(copying: Array(cut.utf8)))
        let error = try await server.refusal(credentials: SSHCredentials(user: "root", privateKey: key))
        guard case .keyUnreadable(let text) = error.reason else {
            Issue.record("\(error)")
            return
        }
        #expect(text.contains("damaged"))
    }
}
