import NetworkTypes
import Sodium
import Testing

@Suite struct LinkPrivateKeyTests {
    /// As RFC 8032 (section 7.1, test 1) has it.
    private static let text =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"

    @Test func oneSecretHasAKeyForEachPurpose() throws {
        let key = try WireGuardPrivateKey.generate()
        let (link, ssh) = (try LinkPrivateKey(of: key), try LinkPrivateKey(of: key, for: .ssh))
        #expect(link != ssh && link.publicKey != ssh.publicKey)
        #expect(ssh == (try LinkPrivateKey(of: key, for: .ssh)))
        let identity = try UplinkIdentity(of: key)
        #expect(identity.linkPin == link.pin && identity.sshKey == ssh.sshPublicKey)
    }

    @Test func publicKeysAreAsOpenSSHWritesThem() throws {
        let digits = Array("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
        let seed = stride(from: 0, to: 64, by: 2).compactMap { UInt8(String(digits[$0..<$0 + 2]), radix: 16) }
        let key = try #require(LinkPrivateKey(secret: try SecretBytes(copying: seed)))
        #expect("\(key.sshPublicKey)" == Self.text)
        let read = try SSHPublicKey(parsing: Self.text)
        #expect(read == key.sshPublicKey && read.bytes == key.publicKey && read.blob.count == 51)
    }

    @Test(arguments: [
        "", "ssh-ed25519", "ssh-ed25519 ", "ssh-rsa AAAA", text + " comment", text + "\n", " " + text, text.dropLast() + "=",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==", text + "AAAA",
        "ssh-ed25519 AAAAB3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea",
    ])
    func whatIsNoneIsRefused(text: String) {
        #expect(throws: InvalidValue.self) { try SSHPublicKey(parsing: text) }
    }
}
