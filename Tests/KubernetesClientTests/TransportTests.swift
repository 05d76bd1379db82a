import Documents
import JSON
import KubernetesAPI
import KubernetesClient
import Sodium
import Synchronization
import TestFiles
import Testing

/// One request and its answer, against a real server.
struct TransportTests {
    let authority: TestAuthority
    let server: TestServer

    init() throws {
        authority = try TestAuthority.shared.get()
        server = try TestServer(authority.server, clientAuthority: authority.root)
    }

    @Test func sendsWhatTheRequestSays() async throws {
        var access = server.access(authority)
        access.clientCertificate = authority.client.client
        access.credential = .token(try SecretBytes(copying: " secret-token\n".utf8))
        access.impersonation = [.init(name: "Impersonate-User", value: "jane")]
        access.server.basePath = "/echo/k8s"
        let reports = Mutex<[RequestReport]>([])
        let seen = try await withClient(access, { $0.report = { report in reports.withLock { $0.append(report) } } }) {
            try await $0.json(
                APIRequest(
                    .patch, "/api/v1/x%2Fy", query: [("force", "true"), ("a b", "c&d")],
                    contentType: "application/merge-patch+json", body: Array("{}".utf8)))
        }
        #expect(seen["method"]?.text == "PATCH")
        #expect(seen["path"]?.text == "/echo/k8s/api/v1/x%2Fy?force=true&a%20b=c%26d")
        #expect(seen["body"]?.text == "{}")
        #expect(seen["certificate"]?.text == "client")
        let headers = try #require(seen["headers"]?.texts)
        #expect(headers["host"] == "127.0.0.1:\(server.port)")
        #expect(headers["authorization"] == "Bearer secret-token")
        #expect(headers["user-agent"]?.hasPrefix("tidegate/test (linux/") == true)
        #expect(headers["accept"] == "application/json")
        #expect(headers["content-type"] == "application/merge-patch+json")
        #expect(headers["impersonate-user"] == "jane")
        let report = try #require(reports.withLock { $0 }.first)
        #expect(report.code == 200 && report.host == "127.0.0.1:\(server.port)" && report.method == .patch)
        #expect(report.warnings.first?.contains("spec.x") == true)
    }

    @Test func keepsTheConnection() async throws {
        try await withClient(server.access(authority)) { api in
            for _ in 0..<3 { _ = try await api.answer(APIRequest(.get, "/echo")) }
        }
        #expect(Set(try await server.hasSaid(3).map { $0["connection"]?.integer }).count == 1)
    }

    @Test func throwsTheServersStatus() async throws {
        try await withClient(server.access(authority)) { api in
            let error = try await api.failure(APIRequest(.get, "/status/404/NotFound"))
            #expect(error == .status(APIStatus(code: 404, reason: "NotFound", message: "as asked for")))
        }
    }

    @Test(arguments: ["/slow/head", "/slow/body"])
    func givesUpOnASlowAnswer(path: String) async throws {
        let error = try await withClient(server.access(authority), { $0.requestTimeout = .seconds(2) }) {
            try await $0.failure(APIRequest(.get, path))
        }
        #expect(error.description.contains("no answer within 2.0 seconds"), "\(error)")
        #expect(try await server.hasSaid("closed")["by_client"]?.bool == true)
    }

    @Test(arguments: [APIRequest.Method.get, .post, .delete], [429, 503])
    func waitsAsTheServerAsks(method: APIRequest.Method, code: Int) async throws {
        let codes = Mutex<[Int?]>([])
        let body = try await withClient(
            server.access(authority), { $0.report = { report in codes.withLock { $0.append(report.code) } } }
        ) {
            try await $0.answer(APIRequest(method, "/retry/\(code)/2/\(method)", body: method == .post ? Array("[1]".utf8) : nil))
        }
        #expect(body == Array((method == .post ? "[1]" : "{}").utf8))
        #expect(codes.withLock { $0 } == [code, code, 200])
    }

    @Test func endsAfterSoManyWaits() async throws {
        let error = try await withClient(server.access(authority), { $0.waitLimit = 1 }) {
            try await $0.failure(APIRequest(.get, "/retry/429/2/x"))
        }
        #expect(error.status?.code == 429 && error.status?.retryAfter == 0)
    }

    @Test func leavesALongWaitToTheCaller() async throws {
        let error = try await withClient(server.access(authority)) { try await $0.failure(APIRequest(.get, "/later/3600")) }
        #expect(error.status?.retryAfter == 3600)
    }

    @Test func stopsWaitingWhenCancelled() async throws {
        try await withClient(server.access(authority)) { api in
            let waiting = Task { try await api.failure(APIRequest(.get, "/later/60")) }
            _ = try await server.hasSaid("seen")
            waiting.cancel()
            #expect(try await waiting.value == .cancelled)
        }
    }

    @Test func takesAFreshTokenWhenTheOldIsRefused() async throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("token", "old\n")
        let server = try TestServer(authority.server, tokenFile: file)
        var access = server.access(authority)
        access.credential = .tokenFile(file, fallback: nil)
        try await withClient(access) { api in
            _ = try await api.answer(APIRequest(.get, "/token"))
            try folder.write("token", "new\n")
            _ = try await api.answer(APIRequest(.post, "/token"))
        }
        #expect(try await server.hasSaid(3).count == 3)
    }

    @Test func saysWhoseCredentialsAreRefused() async throws {
        var access = server.access(authority)
        access.credential = .token(try SecretBytes(copying: "wrong".utf8))
        try await withClient(access) { api in
            let error = try await api.failure(APIRequest(.get, "/token"))
            #expect(error.status?.code == 401)
            #expect(error.description.contains("credentials of the test") && !error.description.contains("wrong"), "\(error)")
        }
        #expect(try await server.hasSaid(1).count == 1)
    }

    @Test func inflatesAnswers() async throws {
        let answer = try await withClient(server.access(authority)) { try await $0.answer(APIRequest(.get, "/gzip/3000000")) }
        #expect(answer.count == 3_000_000)
    }

    @Test(arguments: ["/gzip/3000000", "/large/3000000"])
    func refusesAnswersBeyondTheLimit(path: String) async throws {
        let error = try await withClient(server.access(authority), { $0.answerLimit = 1 << 20 }) {
            try await $0.failure(APIRequest(.get, path))
        }
        guard case .malformed(let cause) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(cause.contains("1048576 bytes"), "\(cause)")
    }

    @Test func followsNoRedirect() async throws {
        try await withClient(server.access(authority)) {
            let error = try await $0.failure(APIRequest(.get, "/redirect"))
            #expect(error.description.contains("https://elsewhere.example/login (302)"), "\(error)")
        }
    }

    @Test func readsOnceMoreOverANewConnection() async throws {
        try await withClient(server.access(authority)) { api in
            _ = try await api.answer(APIRequest(.get, "/stale"))
            _ = try await api.answer(APIRequest(.get, "/dead/1"))
            let error = try await api.failure(APIRequest(.get, "/dead/2"))
            #expect(error.description.contains("closed in the middle"), "\(error)")
        }
    }

    @Test func writesOnlyOnce() async throws {
        try await withClient(server.access(authority)) { api in
            let error = try await api.failure(APIRequest(.post, "/dead/1", body: Array("{}".utf8)))
            #expect(error.description.contains("closed in the middle") && error.isTransient, "\(error)")
        }
        #expect(try await server.hasSaid(1).filter { $0["seen"] != nil }.count == 1)
    }

    @Test func endsWithTheClient() async throws {
        // Beside a thousand other tests, as `withClient` has it; a client that is not shut down ends the process.
        var options = KubernetesClient.Options(agent: "test")
        options.connectTimeout = .seconds(120)
        options.requestTimeout = .seconds(120)
        let client = try KubernetesClient(server.access(authority), options: options, logger: silent)
        let api = client.server
        let stream: APIStream
        do {
            stream = try await api.stream(APIRequest(.get, "/watch/open"))
            _ = try await stream.next()
        } catch {
            await client.shutdown()
            throw error
        }
        await client.shutdown()
        await #expect(throws: APIError.self) { _ = try await stream.next() }
        #expect(try await api.failure(APIRequest(.get, "/echo")) == .cancelled)
    }
}
