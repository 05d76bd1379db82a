import Documents
import JSON
import KubernetesAPI
import KubernetesClient
import TestFiles
import Testing

/// Whom the client trusts, and what it says when it does not.
struct CertificateTests {
    let authority: TestAuthority
    let echo = APIRequest(.get, "/echo")

    init() throws { authority = try TestAuthority.shared.get() }

    private func complaint(_ access: ClusterAccess) async throws -> String {
        try await withClient(access) { try await $0.failure(echo).description }
    }

    @Test(arguments: ["127.0.0.1", "::1", "localhost"])
    func knowsNamesAndAddresses(host: String) async throws {
        let server = try TestServer(authority.server, address: host == "::1" ? "::1" : nil)
        let seen = try await withClient(server.access(authority, host: host)) { try await $0.json(echo) }
        #expect(seen["headers"]?.texts["host"] == (host == "::1" ? "[::1]:\(server.port)" : "\(host):\(server.port)"))
    }

    @Test func namesAnUnknownAuthority() async throws {
        let server = try TestServer(authority.server)
        var access = server.access(authority)
        access.authority = .these(.file(authority.stranger))
        let complaint = try await complaint(access)
        #expect(complaint.contains("unknown authority") && complaint.contains(authority.stranger), "\(complaint)")
        access.authority = .system
        #expect(try await self.complaint(access).contains("none of the system's authorities"))
        #expect(!server.said.contains { $0["seen"] != nil })
    }

    @Test func showsTheCertificateOfAProgram() async throws {
        let folder = try TemporaryFolder()
        let pair = authority.client
        let status = FieldValue.object([
            "clientCertificateData": .string(try #require(TemporaryFolder.read(from: pair.certificate))),
            "clientKeyData": .string(try #require(TemporaryFolder.read(from: pair.key))),
        ])
        let answer = FieldValue.object([
            "apiVersion": .string("client.authentication.k8s.io/v1"), "kind": .string("ExecCredential"), "status": status,
        ])
        try folder.write("answer", answer.json)
        try folder.write("bin/login", "#!/bin/sh\nexec cat \(folder.path)/answer\n", mode: 0o700)
        let server = try TestServer(authority.server, clientAuthority: authority.root)
        let config = try folder.write(
            "config",
            KubeconfigTests.config(
                cluster: "{server: 'https://127.0.0.1:\(server.port)', certificate-authority: \(authority.root)}",
                user: "{exec: {apiVersion: client.authentication.k8s.io/v1, command: bin/login, interactiveMode: Never}}"))
        let access = try ClusterAccess.load(kubeconfig: config)
        let seen = try await withClient(access) { try await $0.json(echo) }
        #expect(seen["certificate"]?.text == "client")
    }

    @Test func namesAnExpiredCertificate() async throws {
        let server = try TestServer(authority.expired)
        let complaint = try await complaint(server.access(authority))
        #expect(complaint.contains("it expired on 20"), "\(complaint)")
    }

    @Test func namesAWrongName() async throws {
        let server = try TestServer(authority.named)
        var access = server.access(authority)
        #expect(try await complaint(access).contains("is not for 127.0.0.1"))
        access.server.host = "localhost"
        #expect(try await complaint(access).contains("is not for localhost"))
        access.tlsServerName = "other.test"
        #expect(try await complaint(access).contains("is not for other.test"))
        #expect(!server.said.contains { $0["seen"] != nil })
    }

    @Test(arguments: ["127.0.0.1", "localhost"])
    func looksForTheNameGiven(host: String) async throws {
        let server = try TestServer(authority.named)
        var access = server.access(authority, host: host)
        access.tlsServerName = "api.test"
        let seen = try await withClient(access) { try await $0.json(echo) }
        #expect(seen["headers"]?.texts["host"] == "\(host):\(server.port)")
    }

    @Test func asksForNoCertificateWhereTold() async throws {
        let server = try TestServer(authority.expired)
        var access = server.access(authority)
        access.authority = .unchecked
        _ = try await withClient(access) { try await $0.answer(echo) }
    }

    @Test func saysThatNobodyListens() async throws {
        let server = try TestServer(nil)
        var access = server.access(authority)
        #expect(try await complaint(access).contains("does not speak TLS"))
        access.server.port = 1
        #expect(try await complaint(access).contains("127.0.0.1:1 (the test): connection refused"))
        access.server.host = "localhost"
        #expect(try await complaint(access).contains("connection refused"))
        access.server.host = "no-such-host.invalid"
        #expect(try await complaint(access).contains("the name no-such-host.invalid has no address"))
    }

    @Test func speaksPlainHTTPWhereTold() async throws {
        let server = try TestServer(nil)
        var access = server.access(authority)
        access.server.isTLS = false
        _ = try await withClient(access) { try await $0.answer(echo) }
    }

    @Test func followsARenewedAuthority() async throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("ca.crt", try #require(TemporaryFolder.read(from: authority.stranger)))
        let server = try TestServer(authority.server)
        var access = server.access(authority)
        access.authority = .these(.file(file))
        try await withClient(access) { api in
            _ = try await api.failure(echo)
            try folder.write("ca.crt", try #require(TemporaryFolder.read(from: authority.root)))
            _ = try await api.answer(echo)
        }
    }

    @Test func refusesFilesThatCannotBeUsed() throws {
        let folder = try TemporaryFolder()
        let empty = try folder.write("empty.crt", "")
        var access = ClusterAccess(server: .init(host: "localhost", port: 1), origin: "the test")
        access.authority = .these(.file(empty))
        #expect(complaint(access).contains("certificate-authority (\(empty)) holds no certificate"))
        access.authority = .these(.file("/no/such"))
        #expect(complaint(access) == "/no/such: there is no such file")
        access.authority = .system
        access.clientCertificate = .init(chain: .file(authority.client.certificate), key: .file(authority.server.key))
        #expect(complaint(access).contains("do not belong together"))
        access.clientCertificate = .init(chain: .file(authority.client.certificate), key: .file(authority.client.certificate))
        #expect(complaint(access).contains("client-key (\(authority.client.certificate)) is no private key"))
    }

    private func complaint(_ access: ClusterAccess) -> String {
        do throws(ClusterAccessError) {
            _ = try KubernetesClient(access, options: .init(agent: "test"), logger: silent)
            return ""
        } catch {
            return error.description
        }
    }
}
