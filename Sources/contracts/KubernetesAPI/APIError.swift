public import Documents

/// The API server could not be asked, or said no.
public enum APIError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The server's answer.
    case status(APIStatus)
    /// No answer came: nothing is known of whether the request took effect.
    case unreachable(String)
    /// An answer that makes no sense.
    case malformed(String)
    /// Credentials could not be had: a file, an exec plugin.
    case credentials(String)
    case cancelled

    public var description: String {
        switch self {
        case .status(let status): status.description
        case .unreachable(let cause): "the API server cannot be reached: \(cause)"
        case .malformed(let cause): "the API server's answer makes no sense: \(cause)"
        case .credentials(let cause): cause
        case .cancelled: "cancelled"
        }
    }

    /// Nil when the server did not answer.
    public var status: APIStatus? { if case .status(let status) = self { status } else { nil } }
    public var isNotFound: Bool { status?.code == 404 }
    /// The object was changed meanwhile, or exists already: read it again.
    public var isConflict: Bool { status?.code == 409 }
    /// The resourceVersion is forgotten: list again.
    public var isExpired: Bool { status?.code == 410 }
    /// Whether the same request may succeed later without anybody doing anything.
    public var isTransient: Bool {
        switch self {
        case .status(let status): status.code == 429 || status.code >= 500 || status.code == 409
        case .unreachable: true
        case .malformed, .credentials, .cancelled: false
        }
    }
}

/// A meta/v1 Status that tells of a failure.
public struct APIStatus: Hashable, Sendable, CustomStringConvertible {
    public struct Cause: Hashable, Sendable {
        /// Such as `spec.tunnel.network`; empty where none is named.
        public var field: String
        public var message: String

        public init(field: String, message: String) {
            self.field = field
            self.message = message
        }
    }

    /// The HTTP status.
    public var code: Int
    /// Such as `NotFound`, `AlreadyExists`, `Conflict`, `Invalid`, `Forbidden`, `Expired`; empty when the server gave none.
    public var reason: String
    public var message: String
    public var causes: [Cause]
    /// Seconds, from the header `Retry-After` or the details; nil when the server named none.
    public var retryAfter: Int?

    public init(code: Int, reason: String = "", message: String, causes: [Cause] = [], retryAfter: Int? = nil) {
        self.code = code
        self.reason = reason
        self.message = message
        self.causes = causes
        self.retryAfter = retryAfter
    }

    /// Reads the body of an answer of 400 and above, or the object of a watch's ERROR event. A body that is no Status (a proxy's
    /// page, say) becomes the message, cut short.
    /// - Parameter code: the HTTP status; nil takes the one in the body.
    public init(code: Int?, body: [UInt8], retryAfter: Int? = nil) {
        if let node = try? FieldNode(json: body, replacesNUL: true), node["kind"]?.text == "Status" {
            self.init(code: code, node: node, retryAfter: retryAfter)
        } else {
            let text = oneLine(String(decoding: body.prefix(200), as: UTF8.self), limit: 200)
            self.init(code: code ?? 500, message: text.isEmpty ? "the server gave no reason" : text, retryAfter: retryAfter)
        }
    }

    public init(code: Int?, node: FieldNode, retryAfter: Int? = nil) {
        let details = node["details"]
        self.init(
            code: code ?? node["code"]?.integer.map { Int($0) } ?? 500, reason: node["reason"]?.text ?? "",
            message: node["message"]?.text ?? "the server gave no reason",
            causes: (details?["causes"]?.items ?? []).map {
                Cause(field: $0["field"]?.text ?? "", message: $0["message"]?.text ?? "")
            },
            retryAfter: retryAfter ?? details?["retryAfterSeconds"]?.integer.map { Int($0) })
    }

    public var description: String {
        let reason = oneLine(reason, limit: 100)
        return "\(oneLine(message, limit: 1000)) (\(code)\(reason.isEmpty ? "" : " \(reason)"))"
    }
}

/// A server's words for a log or a condition: no line ends, nothing that steers a terminal, not too many of them. Quotes stay.
private func oneLine(_ text: String, limit: Int) -> String {
    var result = ""
    for scalar in text.unicodeScalars.prefix(limit) {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: result += " "
        default: result.unicodeScalars.append(scalar)
        }
    }
    while result.last == " " { result.removeLast() }
    return text.unicodeScalars.count > limit ? result + "…" : result
}
