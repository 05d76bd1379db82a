public import KubernetesAPI

/// One request that went out, for metrics: each attempt counts.
public struct RequestReport: Sendable {
    public var method: APIRequest.Method
    /// `HOST:PORT`.
    public var host: String
    /// The HTTP status; nil when there was no answer.
    public var code: Int?
    /// Why there was none.
    public var error: APIError?
    /// Until the answer was there, or the head of an answer that never ends.
    public var duration: Duration
    /// What the server warns of (the header `Warning`, RFC 7234), such as fields it does not know.
    public var warnings: [String] = []
}
