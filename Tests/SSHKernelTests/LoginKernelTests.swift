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
        #expect(error.reason == .authenticationRefused(tried: ["publickey"], offered: ["password"], hints: []))

        // A key the server does not know, then the right password.
        let other = try TestServer("PasswordAuthentication yes")
        let login = try SSHCredentials(user: "root", privateKey: key, password: password())
        #expect(try await output(other.connect(credentials: login)) == "hello\n")
    }

    @Test func aKeyNobodyKnowsIsRefused() async throws {
        let server = try TestServer()
        let stranger = try TestServer().credentials()
        let error = try await server.refusal(credentials: stranger)
        #expect(error.reason == .authenticationRefused(tried: ["publickey"], offered: ["publickey"], hints: []))
    }

    @Test func anRSAKeyIsRefusedWithTheReason() async throws {
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
