import HTTPTypes
import NIOCore
import NodeDocument
import PrometheusMetrics

/// The answers of :40500.
struct StatusResponder: Sendable {
    let store: UplinkStore

    struct Answer: Sendable {
        var status: HTTPResponse.Status
        var contentType: String
        var body: String

        static func text(_ status: HTTPResponse.Status, _ body: String) -> Answer {
            Answer(status: status, contentType: "text/plain; charset=utf-8", body: body + "\n")
        }
    }

    /// - Parameter now: seconds since 1970.
    func answer(method: HTTPRequest.Method, path: String, now: Int64) -> Answer {
        guard method == .get || method == .head else { return .text(.methodNotAllowed, "only GET is answered here") }
        let condition = store.now
        switch path.prefix(while: { $0 != "?" }) {
        case "/ready":
            guard let reason = condition.reasonAgainst(now: now) else { return .text(.ok, "ready") }
            return .text(.serviceUnavailable, reason)
        case "/healthz": return .text(.ok, "alive")
        case "/metrics":
            return Answer(status: .ok, contentType: Exposition.contentType, body: Metrics.text(of: condition, now: now))
        case "/status":
            do throws(DocumentError) {
                let json = String(decoding: try DocumentJSON.encode(condition.report(now: now)), as: UTF8.self)
                return Answer(status: .ok, contentType: "application/json", body: json + "\n")
            } catch {
                return .text(.internalServerError, error.message)
            }
        default: return .text(.notFound, "here are /ready, /healthz, /status and /metrics")
        }
    }
}
