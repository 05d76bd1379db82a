import Documents
import EdgeAPI
import JSON
import KubernetesAPI
import Synchronization
import Testing

/// The requests that the verbs make, and what they make of the recorded answers.
struct VerbTests {
    /// Answers each request with the next recording.
    final class Script: Sendable {
        private let rest: Mutex<[Recording]>
        private let asked = Mutex<[APIRequest]>([])

        init(_ names: String...) throws { rest = Mutex(try names.map { try Recording($0) }) }

        var requests: [APIRequest] { asked.withLock { $0 } }

        /// Each request as `METHOD target`.
        var lines: [String] { requests.map { "\($0.method.rawValue) \($0.target)" } }

        private func next(_ request: APIRequest) throws(APIError) -> Recording {
            asked.withLock { $0.append(request) }
            let recording = rest.withLock { $0.isEmpty ? nil : $0.removeFirst() }
            guard let recording else { throw .cancelled }
            guard recording.code < 400 else { throw .status(APIStatus(code: recording.code, body: recording.body)) }
            return recording
        }

        var server: APIServer {
            APIServer(
                answer: { request throws(APIError) in try self.next(request).body },
                stream: { request throws(APIError) in
                    let body = Mutex<[UInt8]?>(try self.next(request).body)
                    return APIStream { body.withLock { $0.take() } }
                })
        }
    }

    private let name = ObjectName(namespace: "rec", name: "a")

    @Test func readsPageAfterPage() async throws {
        let script = try Script("30-list-limit-continue", "31-list-continued", "32-list-continue-garbage-400")
        let selector = APISelector(namespace: "rec")
        let first = try await script.server.list(.edgeNodes, selector, limit: 3, resourceVersion: "0")
        let next = try #require(first.next)
        let second = try await script.server.list(.edgeNodes, selector, limit: 3, next: next, resourceVersion: "0")
        #expect(first.items.count == 3 && second.items.count == 3 && second.next == nil)
        #expect(first.resourceVersion == "1574" && second.resourceVersion == "1574")
        await #expect(throws: APIError.self) { try await script.server.list(.edgeNodes, selector) }
        let path = "/apis/tunnel.achetronic.com/v1alpha1/namespaces/rec/edgenodes"
        #expect(
            script.lines == [
                "GET \(path)?limit=3&resourceVersion=0", "GET \(path)?limit=3&continue=\(next)", "GET \(path)",
            ])
    }

    @Test func getsWhatIsThere() async throws {
        let script = try Script("12-get", "13-get-404", "58-anonymous-403")
        #expect(try await script.server.get(.edgeNodes, name)?["metadata"]?["name"]?.text == "a")
        #expect(try await script.server.get(.edgeNodes, name) == nil)
        await #expect(throws: APIError.self) { try await script.server.get(.edgeNodes, name) }
    }

    @Test func watchesFromAVersionOrFromTheBeginning() async throws {
        let script = try Script("38-watch-added-modified-deleted", "40-watch-send-initial-events-bookmark")
        var selector = APISelector(labels: "app in (a,b)", fields: "metadata.name=x")
        var events = WatchEvents(try await script.server.watch(.pods, selector, resourceVersion: "7", timeout: 300))
        #expect(try await events.next()?.resourceVersion == "1575")
        selector = APISelector(namespace: "rec")
        _ = try await script.server.watch(.edgeNodes, selector, resourceVersion: nil, initialEvents: true, timeout: 2)
        #expect(
            script.lines == [
                "GET /api/v1/pods?labelSelector=app%20in%20%28a%2Cb%29&fieldSelector=metadata.name%3Dx&watch=true&"
                    + "allowWatchBookmarks=true&timeoutSeconds=300&resourceVersion=7",
                "GET /apis/tunnel.achetronic.com/v1alpha1/namespaces/rec/edgenodes?watch=true&allowWatchBookmarks=true&"
                    + "timeoutSeconds=2&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
            ])
    }

    @Test func writes() async throws {
        let script = try Script(
            "06-create", "14-update-generation-rises", "19-merge-patch-annotation-null", "21-apply-create-201",
            "17-status-update-leaves-spec-and-generation")
        let object = FieldValue.object(["a": .integer(1)])
        let server = script.server
        try await server.create(.edgeNodes, namespace: "rec", object)
        try await server.update(.edgeNodes, name, object)
        try await server.mergePatch(.edgeNodes, name, object)
        try await server.apply(.edgeNodes, name, object, force: false)
        try await server.apply(.edgeNodes, name, subresource: "status", object, force: true)
        let path = "/apis/tunnel.achetronic.com/v1alpha1/namespaces/rec/edgenodes"
        #expect(
            script.lines == [
                "POST \(path)?fieldManager=tidegate", "PUT \(path)/a?fieldManager=tidegate",
                "PATCH \(path)/a?fieldManager=tidegate",
                "PATCH \(path)/a?fieldManager=tidegate&force=false", "PATCH \(path)/a/status?fieldManager=tidegate&force=true",
            ])
        #expect(
            script.requests.map(\.contentType) == [
                "application/json", "application/json", "application/merge-patch+json", "application/apply-patch+yaml",
                "application/apply-patch+yaml",
            ])
        #expect(script.requests.allSatisfy { $0.body == Array(#"{"a":1}"#.utf8) })
    }

    @Test func deletes() async throws {
        let script = try Script(
            "49-delete-status-success", "44-delete-with-finalizer-200-object", "47-get-gone-404", "48-delete-precondition-uid-409"
        )
        let server = script.server
        for _ in 0..<3 { try await server.delete(.edgeNodes, name) }
        await #expect(throws: APIError.self) {
            try await server.delete(.edgeNodes, name, APIPreconditions(uid: "u", resourceVersion: "7"))
        }
        let bodies = script.requests.map { String(decoding: $0.body ?? [], as: UTF8.self) }
        #expect(bodies[0] == #"{"apiVersion":"v1","kind":"DeleteOptions","propagationPolicy":"Background"}"#)
        #expect(bodies[3].contains(#""preconditions":{"resourceVersion":"7","uid":"u"}"#))
    }

    /// A text with a NUL in an object of somebody else's.
    @Test func oneStrangeObjectSpoilsNoList() async throws {
        let body = #"{"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"annotations":{"a":"x\u0000y"}}},{}]}"#
        let server = APIServer(
            answer: { _ in Array(body.utf8) }, stream: { _ throws(APIError) in throw .cancelled })
        let page = try await server.list(.pods, APISelector())
        #expect(page.items.first?["metadata"]?["annotations"]?["a"]?.text == "x\u{FFFD}y")
    }

    /// Of several objects only so much is read; one alone may be longer.
    @Test func takesNoEndlessPage() async throws {
        let long = String(repeating: "x", count: APIServer.pageLimit)
        let body = #"{"metadata":{"resourceVersion":"1"},"items":[{"a":"\#(long)"}]}"#
        let limits = Mutex<[Int?]>([])
        let server = APIServer(
            answer: { request in
                limits.withLock { $0.append(request.answerLimit) }
                return Array(body.utf8)
            }, stream: { _ throws(APIError) in throw .cancelled })
        for limit in [nil, 200, 2] as [Int?] {
            await #expect(throws: APIError.self) { _ = try await server.list(.pods, APISelector(), limit: limit) }
        }
        #expect(try await server.list(.pods, APISelector(), limit: 1).items.count == 1)
        #expect(limits.withLock { $0 } == [APIServer.pageLimit, APIServer.pageLimit, APIServer.pageLimit, nil])
    }

    @Test(arguments: ["", "{", "[]", "{}", #"{"items":[]}"#, #"{"metadata":{"resourceVersion":"1"}}"#])
    func refusesWhatIsNoList(body: String) async throws {
        let server = APIServer(answer: { _ in Array(body.utf8) }, stream: { _ throws(APIError) in throw .cancelled })
        await #expect {
            _ = try await server.list(.pods, APISelector())
        } throws: {
            if case APIError.malformed? = $0 as? APIError { true } else { false }
        }
    }

    @Test func writesPaths() {
        #expect(APIResource.pods.path(namespace: nil) == "/api/v1/pods")
        #expect(APIResource.namespaces.path(namespace: "x", name: "kube-system") == "/api/v1/namespaces/kube-system")
        #expect(
            APIResource.leases.path(namespace: "a/b", name: "c?d")
                == "/apis/coordination.k8s.io/v1/namespaces/a%2Fb/leases/c%3Fd")
    }
}
