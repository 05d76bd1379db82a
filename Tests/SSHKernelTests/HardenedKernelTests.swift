import NetworkTypes
import Testing

@testable import SSH

/// Servers as ssh-audit wants them, and RSA keys: by libssh2 1.10 (Debian 12) told in a clear message, by 1.11 (Debian 13) spoken with.
/// `make test-kernel` runs these with both.
struct HardenedKernelTests {
    private static let isNew = Algorithms.isLibraryNew

    @Test(arguments: [
        "MACs hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com,umac-128-etm@openssh.com\nCiphers aes256-ctr,aes128-ctr",
        "Ciphers aes256-gcm@openssh.com,aes128-gcm@openssh.com",
        "Ciphers chacha20-poly1305@openssh.com",
    ])
    func hardenedServersAreSpokenWith(configuration: String) async throws {
        let server = try TestServer(configuration)
        guard Self.isNew else {
            let error = try await server.refusal()
            guard case .noCommonAlgorithm = error.reason else {
                Issue.record("\(error)")
                return
            }
            #expect(error.needsUser)
            return
        }
        let connection = try await server.connect()
        #expect(try await connection.execute("echo hello").standardOutput == Array("hello\n".utf8))
        await connection.close()
    }

    @Test func rsaKeysLogIn() async throws {
        let server = try TestServer(hostKeys: ["rsa"])
        let policy = HostKeyPolicy.knownHosts(try server.knownHosts("rsa"))
        guard Self.isNew else {
            let error = try await server.refusal(policy: policy)
            #expect("\(error)".contains("host key"), "\(error)")
            return
        }
        for options in [["-b", "2048"], ["-b", "3072", "-m", "PEM"], ["-b", "2048", "-m", "PKCS8"]] {
            let key = try server.userKey("rsa-\(options.joined())", type: "rsa", options: options)
            let connection = try await server.connect(
                credentials: SSHCredentials(user: "root", privateKey: key), policy: policy)
            #expect(try await connection.execute("echo hello").standardOutput == Array("hello\n".utf8))
            await connection.close()
        }
    }
}
