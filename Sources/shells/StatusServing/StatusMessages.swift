public import NIOCore
public import NIOHTTP1

/// What of a request matters here.
public struct StatusRequest: Sendable {
    public var method: HTTPMethod
    /// Without the query.
    public var path: String
    public var source: ConnectionSource
    /// Envoy itself asks, as relays of before had it do: once an interval for each binding.
    public var isEnvoysCheck = false

    public init(_ method: HTTPMethod, _ path: String, from source: ConnectionSource = .unknown) {
        self.method = method
        self.path = String(path.prefix { $0 != "?" })
        self.source = source
    }

    init(_ head: HTTPRequestHead, from source: ConnectionSource) {
        self.init(head.method, head.uri, from: source)
        isEnvoysCheck = head.headers.first(name: "User-Agent") == "Envoy/HC"
    }
}

public struct StatusAnswer: Sendable {
    public var status: HTTPResponseStatus
    public var contentType: String
    public var body: ByteBuffer
    /// Beside those that every answer has.
    public var fields: [(name: String, value: String)] = []

    public init(_ status: HTTPResponseStatus, contentType: String, body: ByteBuffer) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }

    public static func text(_ status: HTTPResponseStatus, _ body: String) -> StatusAnswer {
        StatusAnswer(status, contentType: "text/plain; charset=utf-8", body: ByteBuffer(string: body + "\n"))
    }
}
