public import NIOCore
public import NIOHTTP1

/// What of a request matters here.
public struct HTTPRequest: Sendable {
    public var method: HTTPMethod
    /// As it stands in the request line, with the query.
    public var target: String
    public var fields: HTTPHeaders
    public var source: ConnectionSource

    public init(_ method: HTTPMethod, _ target: String, fields: HTTPHeaders = [:], from source: ConnectionSource = .unknown) {
        self.method = method
        self.target = target
        self.fields = fields
        self.source = source
    }

    /// Without the query.
    public var path: Substring { target.prefix { $0 != "?" } }

    /// The items of the query, not decoded; one without `=` has an empty value.
    public var queryItems: [(name: Substring, value: Substring)] {
        target.dropFirst(path.count + 1).split(separator: "&").map { item in
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (parts[0], parts.count > 1 ? parts[1] : "")
        }
    }
}

/// A whole answer.
public struct HTTPAnswer: Equatable, Sendable {
    public var status: HTTPResponseStatus
    public var contentType: String
    public var body: ByteBuffer
    /// Beside those that every answer has.
    public var fields: HTTPHeaders = [:]

    public init(_ status: HTTPResponseStatus, contentType: String, body: ByteBuffer) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }

    /// `body` and nothing more.
    public static func text(_ status: HTTPResponseStatus, _ body: String) -> HTTPAnswer {
        HTTPAnswer(status, contentType: "text/plain; charset=utf-8", body: ByteBuffer(string: body))
    }

    /// `words` and the end of the line.
    public static func line(_ status: HTTPResponseStatus, _ words: String) -> HTTPAnswer { text(status, words + "\n") }

    public static let notFound = HTTPAnswer.line(.notFound, "404 page not found")

    static let methodNotAllowed: HTTPAnswer = {
        var answer = HTTPAnswer.line(.methodNotAllowed, "only GET and HEAD are answered here")
        answer.fields.add(name: "Allow", value: "GET, HEAD")
        return answer
    }()

    static let bodyRefused = HTTPAnswer.line(.payloadTooLarge, "no request body is taken here")
}
