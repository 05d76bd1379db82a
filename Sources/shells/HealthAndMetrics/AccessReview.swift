import Crypto
import HTTPServing
import Logging
import NIOHTTP1
import Synchronization
import Timing

/// What the API server says of a bearer token.
public enum AccessDecision: Hashable, Sendable {
    /// Authenticated, and may `get` the path.
    case allowed(user: String)
    /// Authenticated, but may not; `reason` may be empty.
    case denied(user: String, reason: String)
    /// The token is nobody's.
    case unauthenticated
}

/// Asks the API server: a TokenReview of the token, then a SubjectAccessReview of its user for the nonresource URL
/// `/metrics` and the verb `get`. It throws where no answer is to be had.
public typealias AccessReview = @Sendable (_ token: String) async throws -> AccessDecision

/// What was decided lately, by the digest of the token: no token is kept.
struct DecisionCache {
    typealias Key = SHA256.Digest
    typealias Instant = ContinuousClock.Instant

    /// As controller-runtime keeps what a TokenReview said.
    static let allowedFor = Duration.seconds(60)
    /// Shorter than a scraper's interval, so that what is granted now is so at its next try; still one review a second for a token.
    static let refusedFor = Duration.seconds(1)
    /// How much longer one who was let through is, while the API server cannot be asked: the hour of an outage needs its metrics.
    static let grace = Duration.seconds(600)

    private struct Entry {
        var decision: AccessDecision
        var expiry: Instant
        var isUnauthenticated: Bool { decision == .unauthenticated }
    }

    private var entries: [Key: Entry] = [:]
    private let capacity: Int

    init(capacity: Int) { self.capacity = capacity }

    var count: Int { entries.count }

    func decision(for key: Key, now: Instant) -> AccessDecision? {
        guard let entry = entries[key], now < entry.expiry else { return nil }
        return entry.decision
    }

    /// Whether the last decision let the token's user through, and is not too old for a time in which no other is to be had.
    func mayPassUnasked(_ key: Key, now: Instant) -> Bool {
        guard let entry = entries[key], case .allowed = entry.decision else { return false }
        return now < entry.expiry + Self.grace
    }

    mutating func store(_ decision: AccessDecision, for key: Key, now: Instant) {
        if entries[key] == nil && entries.count >= capacity { makeRoom(now: now) }
        let isAllowed = if case .allowed = decision { true } else { false }
        entries[key] = Entry(decision: decision, expiry: now + (isAllowed ? Self.allowedFor : Self.refusedFor))
    }

    /// What ends first goes first, and before that what was no token: a flood of made-up ones shall not drive out the real.
    private mutating func makeRoom(now: Instant) {
        entries = entries.filter { now < $0.value.expiry }
        guard entries.count >= capacity else { return }
        let victim = entries.min { a, b in
            a.value.isUnauthenticated == b.value.isUnauthenticated
                ? a.value.expiry < b.value.expiry : a.value.isUnauthenticated
        }
        if let victim { entries[victim.key] = nil }
    }
}

/// Lets through who may read the metrics.
final class AccessGate: Sendable {
    private struct State {
        var cache: DecisionCache
        var underWay = 0
    }

    /// Of one review, as controller-runtime allows.
    private static let timeout = Duration.seconds(10)
    /// Of one whose user may pass without: a scraper waits for ten seconds in all.
    private static let shortTimeout = Duration.seconds(2)
    /// Anybody who reaches the port can make the controller ask; the API server shall not feel it.
    private static let reviewsAtOnce = 16
    private static let remembered = 1024

    private let state = Mutex(State(cache: DecisionCache(capacity: AccessGate.remembered)))
    private let review: AccessReview
    private let logger: Logger

    init(review: @escaping AccessReview, logger: Logger) {
        self.review = review
        self.logger = logger
    }

    /// The answer for who may not; nil for who may. The words are controller-runtime's.
    func refusal(for request: HTTPRequest) async -> HTTPAnswer? {
        guard let token = bearerToken(request.fields.first(name: "Authorization")) else { return Self.unauthorized }
        do {
            switch try await decide(token) {
            case .allowed: return nil
            case .unauthenticated: return Self.unauthorized
            case .denied(let user, let reason):
                logger.debug("access to the metrics denied", metadata: ["user": "\(user)", "reason": "\(reason)"])
                return .text(.forbidden, "Authorization denied for user \(user)\n")
            case nil:
                return Self.busy("too many authentications under way\n")
            }
        } catch {
            logger.error("cannot ask the API server who may read the metrics", metadata: ["reason": "\(error)"])
            return Self.busy("the API server cannot be asked who may read the metrics; the controller's log says why\n")
        }
    }

    /// Nil when too many are being asked for.
    private func decide(_ token: String) async throws -> AccessDecision? {
        let key = SHA256.hash(data: Array(token.utf8))
        let known: AccessDecision?? = state.withLock { state in
            if let decision = state.cache.decision(for: key, now: .now) { return decision }
            guard state.underWay < Self.reviewsAtOnce else { return .some(nil) }
            state.underWay += 1
            return nil
        }
        if let known { return known }
        defer { state.withLock { $0.underWay -= 1 } }
        let mayPass = state.withLock { $0.cache.mayPassUnasked(key, now: .now) }
        do {
            let decision = try await answer(to: token, within: mayPass ? Self.shortTimeout : Self.timeout)
            state.withLock { $0.cache.store(decision, for: key, now: .now) }
            return decision
        } catch {
            guard mayPass else { throw error }
            logger.warning("the metrics are read by leave of an earlier review", metadata: ["reason": "\(error)"])
            return .allowed(user: "")
        }
    }

    private func answer(to token: String, within timeout: Duration) async throws -> AccessDecision {
        let decision = try await withTimeLimit(timeout) { [review] in try await review(token) }
        guard let decision else { throw ReviewTimedOut(after: timeout) }
        return decision
    }

    private struct ReviewTimedOut: Error, CustomStringConvertible {
        var after: Duration
        var description: String { "no answer within \(after)" }
    }

    private static func busy(_ words: String) -> HTTPAnswer {
        var answer = HTTPAnswer.text(.serviceUnavailable, words)
        answer.fields.add(name: "Retry-After", value: "1")
        return answer
    }

    private static let unauthorized: HTTPAnswer = {
        var answer = HTTPAnswer.text(.unauthorized, "Unauthorized\n")
        answer.fields.add(name: "WWW-Authenticate", value: "Bearer")
        return answer
    }()
}

/// The token of `Bearer TOKEN`; the word in any case.
func bearerToken(_ field: String?) -> String? {
    guard let words = field?.split(separator: " "), words.count >= 2, words[0].lowercased() == "bearer" else { return nil }
    return String(words[1])
}
