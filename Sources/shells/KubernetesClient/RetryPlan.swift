import KubernetesAPI

/// How one attempt failed.
struct AttemptFailure: Error, Sendable {
    var error: APIError
    /// Seconds, from the header alone; nil without one.
    var retryAfter: Int?
    /// Whether the connection ended before anything of an answer came, as one does that the server closed while nobody used it.
    var isDeadConnection = false
}

/// Whether a request that failed is sent again. As in client-go (rest/with_retry.go), a server that names a time to wait has not
/// done anything yet, whatever the verb.
struct RetryPlan: Sendable {
    enum Step: Equatable {
        case fail
        case again
        case renewCredentials
        case wait(seconds: Int)
    }

    private let isRead: Bool
    private let waitLimit: Int
    private let longestWait: Int
    private var waits = 0
    private var hasReconnected = false
    private var hasRenewed = false

    /// - Parameters:
    ///   - waitLimit: how many times a server's wish to wait is granted.
    ///   - longestWait: seconds; who is told to wait longer fails, and knows from the error for how long.
    init(_ method: APIRequest.Method, waitLimit: Int, longestWait: Int) {
        isRead = method == .get
        self.waitLimit = waitLimit
        self.longestWait = longestWait
    }

    mutating func step(after failure: AttemptFailure) -> Step {
        if failure.isDeadConnection && isRead && !hasReconnected {
            hasReconnected = true
            return .again
        }
        guard let code = failure.error.status?.code else { return .fail }
        if code == 401 && !hasRenewed {
            hasRenewed = true
            return .renewCredentials
        }
        if (code == 429 || code >= 500), let seconds = failure.retryAfter, seconds <= longestWait, waits < waitLimit {
            waits += 1
            return .wait(seconds: seconds)
        }
        return .fail
    }
}
