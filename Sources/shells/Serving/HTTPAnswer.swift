import HTTPTypes

/// A whole answer of one of the controller's servers.
struct HTTPAnswer: Hashable, Sendable {
    var status: HTTPResponse.Status
    var fields: HTTPFields
    var body: String

    init(_ status: HTTPResponse.Status, contentType: String, body: String) {
        self.status = status
        self.body = body
        // What stands in it may come from outside: no browser shall take it for a page.
        fields = [.contentType: contentType, .xContentTypeOptions: "nosniff"]
    }

    static func text(_ status: HTTPResponse.Status, _ body: String) -> HTTPAnswer {
        HTTPAnswer(status, contentType: "text/plain; charset=utf-8", body: body)
    }

    static let notFound = HTTPAnswer.text(.notFound, "404 page not found\n")

    static let methodNotAllowed: HTTPAnswer = {
        var answer = HTTPAnswer.text(.methodNotAllowed, "only GET and HEAD are answered here\n")
        answer.fields[.allow] = "GET, HEAD"
        return answer
    }()

    static let bodyRefused = HTTPAnswer.text(.contentTooLarge, "no request body is taken here\n")
}

extension HTTPRequest {
    /// Without the query.
    var pathOnly: Substring { (path ?? "").prefix { $0 != "?" } }

    /// The items of the query, not decoded; one without `=` has an empty value.
    var queryItems: [(name: Substring, value: Substring)] {
        guard let path, let mark = path.firstIndex(of: "?") else { return [] }
        return path[path.index(after: mark)...].split(separator: "&").map { item in
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (parts[0], parts.count > 1 ? parts[1] : "")
        }
    }

    /// Whether a body comes with it.
    var hasBody: Bool {
        headerFields[.transferEncoding] != nil || (headerFields[.contentLength].map { $0 != "0" } ?? false)
    }
}
