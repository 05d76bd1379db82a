import Documents
import EdgeAPI
import KubernetesAPI
import KubernetesClient
import TestFiles
import Testing

/// Answers that never end, against a real server.
struct WatchStreamTests {
    let authority: TestAuthority
    let server: TestServer

    init() throws {
        authority = try TestAuthority.shared.get()
        server = try TestServer(authority.server)
    }

    private func events(_ path: String) async throws -> (versions: [String?], error: APIError?) {
        try await withClient(server.access(authority)) { api in
            var events = WatchEvents(try await api.stream(APIRequest(.get, path)))
            var versions: [String?] = []
            do throws(APIError) {
                while let event = try await events.next() { versions.append(event.resourceVersion) }
                return (versions, nil)
            } catch {
                return (versions, error)
            }
        }
    }

    @Test(arguments: ["/watch/end", "/watch/split"])
    func endsInGoodOrder(path: String) async throws {
        let (versions, error) = try await events(path)
        #expect(versions == ["7"] && error == nil)
    }

    @Test func saysThatItWasCut() async throws {
        let (versions, error) = try await events("/watch/cut")
        #expect(versions == ["7"])
        #expect(error?.description.contains("closed in the middle") == true, "\(String(describing: error))")
    }

    @Test func aRefusedWatchIsAnError() async throws {
        try await withClient(server.access(authority)) { api in
            await #expect(throws: APIError.status(APIStatus(code: 410, reason: "Expired", message: "as asked for"))) {
                _ = try await api.stream(APIRequest(.get, "/status/410/Expired"))
            }
        }
    }

    @Test func closesTheConnectionWhenCancelled() async throws {
        try await withClient(server.access(authority)) { api in
            let stream = try await api.stream(APIRequest(.get, "/watch/open"))
            _ = try await stream.next()
            let waiting = Task { try await stream.next() }
            waiting.cancel()
            await #expect(throws: APIError.cancelled) { try await waiting.value }
            #expect(try await server.hasSaid("closed")["by_client"]?.bool == true)
        }
    }

    @Test func closesTheConnectionWhenNobodyReadsAnyMore() async throws {
        try await withClient(server.access(authority)) { api in
            var stream: APIStream? = try await api.stream(APIRequest(.get, "/watch/open"))
            _ = try await stream?.next()
            stream = nil
            #expect(try await server.hasSaid("closed")["by_client"]?.bool == true)
        }
    }

    /// The kernel probes a connection that says nothing: within 20 s for the first time.
    @Test func noticesAPeerThatVanished() async throws {
        try await withClient(server.access(authority)) { api in
            let stream = try await api.stream(APIRequest(.get, "/watch/open"))
            _ = try await stream.next()
            let peer = ":" + String(server.port, radix: 16, uppercase: true)
            // proc(5): the third column is the peer; the sixth the timer, 02 for keepalive, and when it is due in 1/100 s.
            let timers = try #require(TemporaryFolder.read(from: "/proc/net/tcp")).split(separator: "\n").map {
                $0.split(separator: " ")
            }
            .filter { $0.count > 5 && $0[2].hasSuffix(peer) }.map { $0[5].split(separator: ":") }
            #expect(timers.count == 1)
            let timer = try #require(timers.first)
            #expect(timer[0] == "02")
            #expect(try #require(Int(timer[1], radix: 16)) <= 2000)
            withExtendedLifetime(stream) {}
        }
    }

    @Test func givesUpOnASilentServer() async throws {
        try await withClient(server.access(authority), { $0.silenceTimeout = .milliseconds(300) }) { api in
            let stream = try await api.stream(APIRequest(.get, "/watch/open"))
            _ = try await stream.next()
            await #expect(throws: APIError.self) { _ = try await stream.next() }
            #expect(try await server.hasSaid("closed")["by_client"]?.bool == true)
        }
    }

    @Test func takesNoMoreThanIsAskedFor() async throws {
        try await withClient(server.access(authority)) { api in
            let stream = try await api.stream(APIRequest(.get, "/watch/flood"))
            let flooded = try #require(try await server.hasSaid("flooded")["flooded"]?.integer)
            // The kernel's buffers on both sides, and one piece or two of ours.
            #expect(flooded < 32 << 20)
            #expect(try await stream.next()?.isEmpty == false)
        }
    }
}
