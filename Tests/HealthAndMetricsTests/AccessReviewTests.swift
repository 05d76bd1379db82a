import Crypto
import HTTPServing
import NIOCore
import NIOHTTP1
import Synchronization
import Testing

@testable import HealthAndMetrics

@Suite struct DecisionCacheTests {
    private let start = ContinuousClock.now

    private func key(_ text: String) -> DecisionCache.Key { SHA256.hash(data: Array(text.utf8)) }

    @Test(arguments: [
        (AccessDecision.allowed(user: "a"), 60), (.unauthenticated, 1), (.denied(user: "a", reason: ""), 1),
    ])
    func aRefusalIsForgottenSoonALeaveLater(decision: AccessDecision, seconds: Int) {
        var cache = DecisionCache(capacity: 2)
        cache.store(decision, for: key("t"), now: start)
        #expect(cache.decision(for: key("t"), now: start + .seconds(seconds) - .nanoseconds(1)) == decision)
        #expect(cache.decision(for: key("t"), now: start + .seconds(seconds)) == nil)
        #expect(cache.decision(for: key("other"), now: start) == nil)
    }

    @Test func madeUpTokensDriveOutNoRealOne() {
        var cache = DecisionCache(capacity: 3)
        cache.store(.allowed(user: "prometheus"), for: key("real"), now: start)
        for number in 0..<100 {
            cache.store(.unauthenticated, for: key("\(number)"), now: start + .milliseconds(number))
        }
        #expect(cache.count == 3)
        #expect(cache.decision(for: key("real"), now: start + .seconds(1)) == .allowed(user: "prometheus"))
        #expect(cache.decision(for: key("99"), now: start + .seconds(1)) == .unauthenticated)
        #expect(cache.decision(for: key("0"), now: start + .seconds(1)) == nil)
    }

    @Test func aLeaveHoldsOnWhileNobodyCanBeAsked() {
        var cache = DecisionCache(capacity: 2)
        cache.store(.allowed(user: "a"), for: key("a"), now: start)
        cache.store(.denied(user: "b", reason: ""), for: key("b"), now: start)
        #expect(cache.mayPassUnasked(key("a"), now: start + .seconds(659)))
        #expect(!cache.mayPassUnasked(key("a"), now: start + .seconds(660)))
        #expect(!cache.mayPassUnasked(key("b"), now: start))
        #expect(!cache.mayPassUnasked(key("c"), now: start))
        // A later word counts.
        cache.store(.unauthenticated, for: key("a"), now: start + .seconds(61))
        #expect(!cache.mayPassUnasked(key("a"), now: start + .seconds(61)))
    }

    @Test func whatHasEndedMakesRoom() {
        var cache = DecisionCache(capacity: 2)
        cache.store(.allowed(user: "a"), for: key("a"), now: start)
        cache.store(.allowed(user: "b"), for: key("b"), now: start)
        cache.store(.allowed(user: "c"), for: key("c"), now: start + .seconds(90))
        #expect(cache.count == 1)
    }
}

@Suite struct AccessGateTests {
    private func request(_ authorization: String?) -> HTTPRequest {
        HTTPRequest(.GET, "/metrics", fields: HTTPHeaders(authorization.map { [("Authorization", $0)] } ?? []))
    }

    @Test(arguments: [nil, "", "Bearer", "Bearer ", "Basic dTpw", "token", "Bearerx y"] as [String?])
    func withoutATokenNobodyIsAsked(field: String?) async {
        let gate = AccessGate(
            review: { _ in
                Issue.record("asked")
                return .allowed(user: "x")
            }, logger: quiet)
        let refusal = await gate.refusal(for: request(field))
        #expect(refusal?.status == .unauthorized && refusal.map { String(buffer: $0.body) } == "Unauthorized\n")
        #expect(refusal?.fields.first(name: "WWW-Authenticate") == "Bearer")
    }

    @Test(arguments: ["Bearer abc", "bearer abc", " BEARER  abc  more"]) func theTokenIsTakenAsTheAPIServerTakesIt(field: String)
    {
        #expect(bearerToken(field) == "abc")
    }

    @Test func aFailureIsNotRemembered() async {
        struct Away: Error {}
        let isAway = Mutex(true)
        let gate = AccessGate(
            review: { _ in
                if isAway.withLock({ $0 }) { throw Away() }
                return .allowed(user: "x")
            }, logger: quiet)
        let refusal = await gate.refusal(for: request("Bearer abc"))
        #expect(refusal?.status == .serviceUnavailable && refusal?.fields.first(name: "Retry-After") == "1")
        #expect(
            refusal.map { String(buffer: $0.body) }
                == "the API server cannot be asked who may read the metrics; the controller's log says why\n")
        isAway.withLock { $0 = false }
        #expect(await gate.refusal(for: request("Bearer abc")) == nil)
    }

    /// Whoever reaches the port cannot make the controller ask without end.
    @Test func atMostSixteenAreAskedForAtOnce() async {
        let (waiting, isWaiting) = AsyncStream.makeStream(of: Void.self)
        let (released, release) = AsyncStream.makeStream(of: Void.self)
        let gate = AccessGate(
            review: { token in
                if token == "late" { return .allowed(user: "late") }
                isWaiting.yield()
                for await _ in released { break }
                return .allowed(user: token)
            }, logger: quiet)
        await withTaskGroup { tasks in
            for number in 0..<16 { tasks.addTask { await gate.refusal(for: self.request("Bearer \(number)")) } }
            var count = 0
            for await _ in waiting {
                count += 1
                if count == 16 { break }
            }
            let refusal = await gate.refusal(for: request("Bearer late"))
            #expect(refusal?.status == .serviceUnavailable && refusal?.fields.first(name: "Retry-After") == "1")
            release.finish()
            for await refusal in tasks { #expect(refusal == nil) }
        }
        #expect(await gate.refusal(for: request("Bearer late")) == nil)
    }
}
