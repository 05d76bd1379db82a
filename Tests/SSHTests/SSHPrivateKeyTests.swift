import Foundation
import NetworkTypes
import Sodium
import TestPrograms
import Testing

@testable import SSH

struct SSHPrivateKeyTests {
    private func secret(_ path: String) throws -> SecretBytes {
        try SecretBytes(copying: [UInt8](Data(contentsOf: URL(fileURLWithPath: path))))
    }

    private func refusal(_ text: String, passphrase: SecretBytes? = nil) throws -> String {
        let error = try #require(throws: InvalidValue.self) {
            try SSHPrivateKey(file: SecretBytes(copying: Array(text.utf8)), passphrase: passphrase)
        }
        #expect(error.given == "<redacted>")
        return error.reason
    }

    @Test func everyFormatOfSSHKeygenIsTaken() throws {
        let folder = try ScratchFolder()
        let passphrase = try SecretBytes(copying: Array("a passphrase".utf8))
        for (name, type, options) in [
            ("ed", "ed25519", []), ("ec", "ecdsa", []), ("rsa", "rsa", ["-b", "2048"]), ("pem", "ecdsa", ["-m", "PEM"]),
            ("pkcs8", "ecdsa", ["-m", "PKCS8"]), ("rsapem", "rsa", ["-b", "2048", "-m", "PEM"]),
        ] {
            let open = try SSHPrivateKey(file: secret(folder.key(name, type: type, options: options).file))
            #expect(!open.isEncrypted)
            if name != "pkcs8" { #expect(open.kind == (type == "rsa" ? .rsa : .other), "\(name)") }
            let locked = try folder.key(name + "-locked", type: type, options: options, passphrase: "a passphrase").file
            #expect(try SSHPrivateKey(file: secret(locked), passphrase: passphrase).isEncrypted, "\(name)")
            let reason = try refusal(String(contentsOfFile: locked, encoding: .utf8))
            #expect(reason.contains("encrypted and no passphrase"), "\(name)")
        }
    }

    @Test func whatIsNoKeyIsRefusedWithItsReason() throws {
        #expect(try refusal("").contains("empty"))
        #expect(try refusal(" \n").contains("empty"))
        #expect(try refusal(SampleKeys.ed25519).contains("public key"))
        #expect(try refusal("PuTTY-User-Key-File-3: ssh-ed25519\n").contains("puttygen"))
        #expect(try refusal("hunter2").contains("-----BEGIN"))
        #expect(try refusal("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").contains("no private key"))
        #expect(try refusal("-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n").contains("DSA"))
        let damaged = "-----BEGIN OPENSSH PRIVATE KEY-----\n%\n-----END OPENSSH PRIVATE KEY-----\n"
        #expect(try refusal(damaged).contains("damaged"))
        #expect(try refusal(damaged.replacing("%", with: "b3BlbnNzaC1rZXktdjEAAAAA")).contains("damaged"))
    }

    @Test func whatBefellAKeyOnItsWayIsNamed() throws {
        let folder = try ScratchFolder()
        let key = try String(contentsOfFile: folder.key("k", type: "ed25519").file, encoding: .utf8)
        #expect(try refusal(key.replacing("\n", with: " ")).contains("folded into one"))
        #expect(try refusal(key.replacing("\n", with: "\\n")).contains("written out as \\n"))
        #expect(try refusal(Data(key.utf8).base64EncodedString()).contains("base64 twice"))
    }

    @Test(arguments: ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"])
    func aCipherThatLibssh2LacksIsNamed(cipher: String) throws {
        let folder = try ScratchFolder()
        let file = try folder.key("k", type: "ed25519", options: ["-Z", cipher], passphrase: "x").file
        let reason = try refusal(String(contentsOfFile: file, encoding: .utf8), passphrase: SecretBytes(copying: [0x78]))
        #expect(reason.contains("encrypted by \(cipher)") && reason.contains("ssh-keygen -p -Z aes256-ctr"))
    }

    /// The head of a key as PROTOCOL.key and PROTOCOL.u2f have it; ssh-keygen makes none without the hardware.
    @Test(arguments: ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"])
    func aHardwareKeyIsNamed(type: String) throws {
        func string(_ bytes: [UInt8]) -> [UInt8] { [0, 0, 0, UInt8(bytes.count)] + bytes }
        let publicKey = string(Array(type.utf8)) + string([UInt8](repeating: 1, count: 32)) + string(Array("ssh:".utf8))
        let blob =
            Array("openssh-key-v1\0".utf8) + string(Array("none".utf8)) + string(Array("none".utf8)) + string([]) + [0, 0, 0, 1]
            + string(publicKey) + [UInt8](repeating: 0, count: 100)
        let key = "-----BEGIN OPENSSH PRIVATE KEY-----\n\(Data(blob).base64EncodedString())\n-----END OPENSSH PRIVATE KEY-----\n"
        #expect(try refusal(key).contains("of type \(type), whose secret stays in a hardware key"))
    }

    /// Whoever writes the file says how long a try of its passphrase takes, and nothing ends it.
    @Test func keysThatTakeForEverAreRefused() throws {
        let folder = try ScratchFolder()
        let passphrase = try SecretBytes(copying: [0x78])
        let usual = try folder.key("usual", type: "ed25519", options: ["-a", "100"], passphrase: "x").file
        #expect(try SSHPrivateKey(file: secret(usual), passphrase: passphrase).isEncrypted)
        let text = try String(contentsOfFile: usual, encoding: .utf8)
        // The rounds follow the salt: 15 bytes of magic, three strings' heads, two names, and 16 bytes of salt with its length.
        let lines = text.split(separator: "\n")
        var blob = [UInt8](try #require(Data(base64Encoded: lines.dropFirst().dropLast().joined())))
        let place = 15 + 4 + "aes256-ctr".utf8.count + 4 + "bcrypt".utf8.count + 4 + 4 + 16
        #expect(Array(blob[place..<(place + 4)]) == [0, 0, 0, 100])
        func key(_ blob: [UInt8]) -> String { "\(lines[0])\n\(Data(blob).base64EncodedString())\n\(lines.last ?? "")\n" }
        blob[place + 2] = 0xFF
        #expect(try refusal(key(blob), passphrase: passphrase).contains("takes 65380 rounds of bcrypt"))
        blob.replaceSubrange(place..<(place + 4), with: [0xFF, 0xFF, 0xFF, 0xFF])
        #expect(try refusal(key(blob), passphrase: passphrase).contains("takes 4294967295 rounds of bcrypt"))
        blob.replaceSubrange((place - 30)..<(place - 24), with: Array("scrypt".utf8))
        #expect(try refusal(key(blob), passphrase: passphrase).contains("not bcrypt"))
    }

    @Test(
        arguments: [
            (["-v2", "aes-256-cbc"], nil), (["-v2", "aes-256-cbc", "-iter", "600000"], nil),
            (["-v2", "aes-256-cbc", "-iter", "2000001"], "takes 2000001 rounds of PBKDF2"), (["-scrypt"], "not PBKDF2"),
        ] as [([String], String?)])
    func keysOfOpenSSLToo(options: [String], reason: String?) throws {
        let folder = try ScratchFolder()
        let open = try folder.key("k", type: "ecdsa", options: ["-m", "PKCS8"]).file
        let arguments = ["pkcs8", "-topk8", "-in", open, "-out", open + ".locked", "-passout", "pass:x"] + options
        #expect(try ProgramRun("/usr/bin/openssl", arguments).status == 0)
        let locked = try String(contentsOfFile: open + ".locked", encoding: .utf8)
        #expect(locked.hasPrefix("-----BEGIN ENCRYPTED PRIVATE KEY-----"))
        let passphrase = try SecretBytes(copying: [0x78])
        guard let reason else {
            #expect(try SSHPrivateKey(file: SecretBytes(copying: Array(locked.utf8)), passphrase: passphrase).isEncrypted)
            return
        }
        #expect(try refusal(locked, passphrase: passphrase).contains(reason))
    }

    @Test func oneKeyOfAKeysLengthIsTaken() throws {
        let folder = try ScratchFolder()
        let key = try String(contentsOfFile: folder.key("k", type: "ed25519").file, encoding: .utf8)
        #expect(try refusal(key + key).contains("several keys"))
        let huge = "-----BEGIN RSA PRIVATE KEY-----\n\(String(repeating: "AAAA", count: 5000))\n-----END RSA PRIVATE KEY-----\n"
        #expect(try refusal(huge).contains("longer than any key"))
    }

    @Test func aPassphraseWithNULIsRefused() throws {
        let key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
        #expect(try refusal(key, passphrase: SecretBytes(copying: [65, 0, 66])).contains("NUL"))
    }

    @Test func lineEndsAreMadeUnixLike() throws {
        let key = "\u{FEFF}  -----BEGIN PRIVATE KEY-----\r\nAAAA\r\n-----END PRIVATE KEY-----"
        let parsed = try SSHPrivateKey(file: SecretBytes(copying: Array(key.dropFirst().utf8)))
        let text = parsed.file.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        #expect(text == "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n\0")
    }

    @Test func nothingSecretIsPrinted() throws {
        let folder = try ScratchFolder()
        let password = try SecretBytes(copying: Array("correct horse".utf8))
        let file = try folder.key("k", type: "ed25519", passphrase: "correct horse").file
        let key = try SSHPrivateKey(file: secret(file), passphrase: password)
        let credentials = try SSHCredentials(user: "root", privateKey: key, password: password)
        let body = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n")[1]
        var dumped = ""
        dump(credentials, to: &dumped)
        for text in ["\(credentials)", "\(key)", String(reflecting: credentials), dumped] {
            #expect(!text.contains("horse") && !text.contains(body))
        }
    }

    @Test func credentialsWantAUserAndAMethod() throws {
        let password = try SecretBytes(copying: [65])
        for user in ["", "a b", "a\nb", "a\u{0}", String(repeating: "u", count: 256)] {
            #expect(throws: InvalidValue.self) { try SSHCredentials(user: user, privateKey: nil, password: password) }
        }
        #expect(throws: InvalidValue.self) { try SSHCredentials(user: "root", privateKey: nil) }
        #expect(try SSHCredentials(user: "admin$(reboot)", privateKey: nil, password: password).user == "admin$(reboot)")
    }
}
