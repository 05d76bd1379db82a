import KubernetesAPI
import Testing

@testable import KubernetesClient

struct RetryPlanTests {
    private func failure(_ code: Int, retryAfter: Int? = nil) -> AttemptFailure {
        AttemptFailure(error: .status(APIStatus(code: code, message: "", retryAfter: retryAfter)), retryAfter: retryAfter)
    }

    private func steps(_ method: APIRequest.Method, _ failures: AttemptFailure...) -> [RetryPlan.Step] {
        var plan = RetryPlan(method, waitLimit: 2, longestWait: 60)
        return failures.map { plan.step(after: $0) }
    }

    @Test func waitsOnlyWhereTheServerSaysHowLong() {
        #expect(steps(.post, failure(429, retryAfter: 3), failure(503, retryAfter: 0)) == [.wait(seconds: 3), .wait(seconds: 0)])
        #expect(
            steps(.get, failure(429), failure(500), failure(404, retryAfter: 1), failure(409)) == [.fail, .fail, .fail, .fail])
        #expect(steps(.get, failure(429, retryAfter: 60), failure(429, retryAfter: 61)) == [.wait(seconds: 60), .fail])
    }

    @Test func waitsSoManyTimesOnly() {
        let busy = failure(429, retryAfter: 1)
        #expect(steps(.get, busy, busy, busy) == [.wait(seconds: 1), .wait(seconds: 1), .fail])
    }

    @Test func renewsCredentialsOnce() {
        #expect(
            steps(.post, failure(401), failure(429, retryAfter: 1), failure(401)) == [
                .renewCredentials, .wait(seconds: 1), .fail,
            ])
    }

    @Test func readsAgainOnce() {
        let dead = AttemptFailure(error: .unreachable("reset"), isDeadConnection: true)
        #expect(steps(.get, dead, dead) == [.again, .fail])
        #expect(steps(.put, dead) == [.fail])
        #expect(steps(.get, AttemptFailure(error: .unreachable("refused"))) == [.fail])
    }
}
