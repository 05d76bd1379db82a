import Documents
import EdgeAPI
import KubernetesAPI
import Testing

/// What a real server answered, read as we read it.
struct RecordingTests {
    @Test func areAllThere() { #expect(Recording.names.count == 58) }

    @Test(arguments: Recording.names)
    func canBeRead(name: String) throws {
        let recording = try Recording(name)
        let isWatch = recording.request.contains("watch=true")
        if recording.code >= 400 {
            let status = APIStatus(code: recording.code, body: recording.body)
            #expect(status.code == recording.code && !status.message.isEmpty)
        } else if isWatch {
            _ = try recording.events
        } else if recording.headers["content-type"] == "application/json" {
            #expect(try FieldNode(json: recording.body).entries?.isEmpty == false)
        }
    }

    private func error(_ name: String) throws -> APIError {
        let recording = try Recording(name)
        return .status(APIStatus(code: recording.code, body: recording.body))
    }

    @Test func tellsErrorsApart() throws {
        #expect(try error("13-get-404").isNotFound && error("47-get-gone-404").isNotFound)
        for name in ["07-create-exists-409", "15-update-stale-409", "23-apply-conflict-409", "48-delete-precondition-uid-409"] {
            #expect(try error(name).isConflict && error(name).isTransient)
        }
        #expect(try error("72-list-exact-too-old-410").isExpired)
        #expect(try !error("58-anonymous-403").isTransient && !error("59-bad-token-401").isTransient)
    }

    @Test func keepsTheServersWords() throws {
        #expect(
            try error("01-crd-missing-list").description == "404 page not found (404)")
        #expect(
            try error("07-create-exists-409").description.hasSuffix("already exists (409 AlreadyExists)"))
        #expect(
            try error("09-create-invalid-422-cel").description
                == #"EdgeNode.tunnel.achetronic.com "bad2" is invalid: spec: Invalid value: address must not be bad (422 Invalid)"#
        )
    }

    @Test func namesTheFields() throws {
        let causes = try error("08-create-invalid-422-schema").status?.causes
        #expect(causes?.map(\.field).contains("spec.port") == true)
        #expect(
            causes?.first
                == .init(
                    field: "spec.port", message: "Invalid value: 70000: spec.port in body should be less than or equal to 65535"))
        #expect(try error("23-apply-conflict-409").status?.causes.map(\.field) == [".data.k"])
    }

    @Test func readsWhatIsNoStatus() {
        let page = "<html>\u{1B}[31m Bad\nGateway</html>" + String(repeating: "x", count: 500)
        let status = APIStatus(code: 502, body: Array(page.utf8))
        #expect(status.reason.isEmpty && status.message.hasPrefix("<html> [31m Bad Gateway</html>x"))
        #expect(status.message.count < 210)
        #expect(APIStatus(code: 500, body: []).description == "the server gave no reason (500)")
    }

    @Test func takesTheDetailsForARetry() throws {
        let body = #"{"kind":"Status","code":429,"message":"busy","details":{"retryAfterSeconds":7}}"#
        #expect(APIStatus(code: nil, body: Array(body.utf8)).retryAfter == 7)
        #expect(APIStatus(code: nil, body: Array(body.utf8), retryAfter: 1).retryAfter == 1)
    }
}
