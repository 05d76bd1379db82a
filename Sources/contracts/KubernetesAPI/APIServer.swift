/// The API server as messages: what a request says and what comes back. The one seam between Tidegate and HTTP.
public struct APIServer: Sendable {
    /// One request and its whole answer. An answer of 400 and above is thrown as `APIError.status`.
    public var answer: @Sendable (APIRequest) async throws(APIError) -> [UInt8]
    /// A request whose answer never ends: a watch. It ends, without an error, when the server closes it in good order.
    public var stream: @Sendable (APIRequest) async throws(APIError) -> APIStream

    public init(
        answer: @escaping @Sendable (APIRequest) async throws(APIError) -> [UInt8],
        stream: @escaping @Sendable (APIRequest) async throws(APIError) -> APIStream
    ) {
        self.answer = answer
        self.stream = stream
    }
}

/// The pieces of an answer as they arrive, cut anywhere.
public struct APIStream: Sendable {
    /// Nil at the end. Cancelling the task that waits closes the connection.
    public var next: @Sendable () async throws(APIError) -> [UInt8]?

    public init(next: @escaping @Sendable () async throws(APIError) -> [UInt8]?) { self.next = next }
}

public struct APIRequest: Hashable, Sendable {
    public enum Method: String, Hashable, Sendable {
        case get = "GET"
        case post = "POST"
        case put = "PUT"
        case patch = "PATCH"
        case delete = "DELETE"
    }

    public var method: Method
    /// Percent-encoded, from `/`.
    public var path: String
    /// In order; names and values as they are, not encoded.
    public var query: [(name: String, value: String)]
    /// Nil without a body.
    public var contentType: String?
    public var body: [UInt8]?
    /// Bytes of the answer that are read; nil for as many as the client takes.
    public var answerLimit: Int?

    public init(
        _ method: Method, _ path: String, query: [(name: String, value: String)] = [], contentType: String? = nil,
        body: [UInt8]? = nil
    ) {
        self.method = method
        self.path = path
        self.query = query
        self.contentType = contentType
        self.body = body
    }

    /// Path and query as they stand in the request line.
    public var target: String {
        guard !query.isEmpty else { return path }
        return path + "?" + query.map { "\(percentEncoded($0.name))=\(percentEncoded($0.value))" }.joined(separator: "&")
    }

    public static func == (a: Self, b: Self) -> Bool {
        a.method == b.method && a.target == b.target && a.contentType == b.contentType && a.body == b.body
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(method)
        hasher.combine(target)
        hasher.combine(body)
    }
}
