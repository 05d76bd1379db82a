import EdgeAPI
import Fixtures
import NetworkTypes
import SSH
import Sodium
import Testing

@testable import Enrollment

/// What the SSH Secret of an EdgeNode must hold.
@Suite struct NodeTargetTests {
    private func target(_ texts: [String: String], insecure: Bool = false, unchecked: Bool = false) throws -> NodeTarget {
        var spec = try edgeNode().spec
        spec.ssh.insecureSkipHostKeyVerification = insecure
        var data: [String: SecretBytes] = [:]
        for (key, text) in texts { data[key] = try SecretBytes(copying: Array(text.utf8)) }
        return try NodeTarget(
            spec: spec, secret: Secret(metadata: ObjectMeta(name: "vps-ssh"), data: data), sendsPasswordsUnchecked: unchecked)
    }

    private func fault(_ texts: [String: String]) -> EnrollmentError? {
        do {
            _ = try target(texts)
            return nil
        } catch {
            return error as? EnrollmentError
        }
    }

    private let knownHosts = "203.0.113.10 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDb0/a+7Q2SQ1FqYpNDTI9nRv8Bb4nYkZ7XCLxYYl4xv\n"

    @Test func takesAPasswordAndKnownHosts() throws {
        let target = try target(["password": "hunter2", "knownHosts": knownHosts])
        #expect(target.host.description == "203.0.113.10")
        #expect(target.port == .ssh)
        guard case .knownHosts = target.hostKeyPolicy else {
            Issue.record("knownHosts are not used")
            return
        }
    }

    @Test func acceptsAnyHostOnlyWhenTold() throws {
        guard case .insecureAcceptAny = try target(["password": "hunter2"], insecure: true, unchecked: true).hostKeyPolicy else {
            Issue.record("not as told")
            return
        }
        #expect(
            fault(["password": "hunter2"])?.message.contains("it has no knownHosts, so the VPS cannot be told from an impostor")
                == true)
        #expect(fault(["password": "hunter2", "knownHosts": ""])?.message.contains("ssh-keyscan -p 22 203.0.113.10") == true)
    }

    @Test func sendsNoPasswordToWhoeverAnswers() {
        for texts in [["password": "hunter2"], ["password": "hunter2", "knownHosts": knownHosts]] {
            let error = #expect(throws: EnrollmentError.self) { try target(texts, insecure: true) }
            #expect(error?.reason == .sshSecretInvalid)
            #expect(error?.message.contains("its password would be sent to a server whose host key nobody has checked") == true)
            #expect(error?.message.contains("--allow-passwords-without-host-key") == true)
            #expect(error?.message.contains("hunter2") == false)
        }
    }

    @Test func namesWhatIsMissingOrUnreadable() {
        for texts in [[:], ["knownHosts": knownHosts]] {
            let error = fault(texts)
            #expect(error?.reason == .sshSecretInvalid)
            #expect(error?.followUp == .waiting)
            #expect(
                error?.message
                    == "Secret default/vps-ssh: it has neither privateKey nor password; add the key that the VPS accepts as privateKey"
            )
        }
        let garbage = fault(["privateKey": "hunter2 is no key", "knownHosts": knownHosts])
        #expect(garbage?.message.hasPrefix("Secret default/vps-ssh: privateKey: ") == true)
        #expect(garbage?.message.contains("hunter2") == false)
    }

    /// Equal Secrets share a connection; any other makes a new one. The fingerprint is not that of the password alone.
    @Test func changesItsFingerprintWithAnythingInIt() throws {
        let original = try target(["password": "a", "knownHosts": knownHosts]).fingerprint
        #expect(try target(["password": "a", "knownHosts": knownHosts]).fingerprint == original)
        #expect(try target(["password": "b", "knownHosts": knownHosts]).fingerprint != original)
        #expect(try target(["password": "a", "knownHosts": knownHosts], insecure: true, unchecked: true).fingerprint != original)
        // Where one value ends and the next key begins is part of it.
        let joined = try target(["password": "a", "x": "b\nx 1\nc", "knownHosts": knownHosts]).fingerprint
        #expect(try target(["password": "a", "x": "b", "knownHosts": knownHosts]).fingerprint != joined)
    }

    /// `kubectl create secret --from-file` takes the file's last line end along.
    @Test(arguments: ["hunter2", "hunter2\n", "hunter2\r\n"]) func takesALineEndOffAPassword(text: String) throws {
        let target = try target(["password": text, "knownHosts": knownHosts])
        #expect(try target.credentials.password == SecretBytes(copying: Array("hunter2".utf8)))
    }

    @Test func takesNoMoreThanOneLineEndOff() throws {
        for (text, kept) in [("a\n\n", "a\n"), ("a\r", "a\r"), (" a ", " a ")] {
            let target = try target(["password": text, "knownHosts": knownHosts])
            #expect(try target.credentials.password == SecretBytes(copying: Array(kept.utf8)))
        }
    }

    @Test(arguments: ["", "\n", "\r\n"]) func saysThatAPasswordIsEmpty(text: String) {
        let message = fault(["password": text, "knownHosts": knownHosts])?.message
        #expect(message?.hasPrefix("Secret default/vps-ssh: password is empty; fill it in") == true)
    }

    @Test(arguments: [
        ("SHA256:jbO9w4qYpN7dYgH0b7rC3v5m8p4kK1m2x3c4v5b6n7M", "line 1: it is a fingerprint"),
        ("256 SHA256:jbO9w4qYpN7dYgH0b7rC3v5m8p4kK1m2x3c4v5b6n7M root@vps (ED25519)", "line 1: it is a fingerprint"),
        ("# a comment\n", "holds no host key; put the line there that ssh-keyscan -p 22 203.0.113.10 prints"),
        ("203.0.113.10\n", "line 1: want a host, a key type and a key"),
    ])
    func wantsAHostKey(text: String, words: String) {
        let error = fault(["password": "x", "knownHosts": text])
        #expect(error?.reason == .sshSecretInvalid)
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "taken")")
    }

    @Test func takesOneLineForSudo() throws {
        for text in ["hunter2", "hunter2\n", "hunter2\r\n"] {
            let login = try target(["password": "x", "knownHosts": knownHosts, "sudoPassword": text]).login
            #expect(try login.sudoPassword == SecretBytes(copying: Array("hunter2".utf8)))
        }
        #expect(try target(["password": "x", "knownHosts": knownHosts]).login.sudoPassword == nil)
        for text in ["two\nlines", "\n", "nul\0", String(repeating: "x", count: 256)] {
            let error = fault(["password": "x", "knownHosts": knownHosts, "sudoPassword": text])
            #expect(error?.reason == .sshSecretInvalid)
            #expect(
                error?.message
                    == "Secret default/vps-ssh: sudoPassword: sudo takes one line of 1 to 255 bytes, which this is not")
        }
    }
}
