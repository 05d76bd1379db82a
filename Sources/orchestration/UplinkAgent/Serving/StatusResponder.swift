import HTTPServing
import NIOCore
import NIOHTTP1
import NIOPosix
import NetworkTypes
import PrometheusMetrics

/// Where a request came in.
enum StatusDoor: Hashable, Sendable {
    /// The tunnel address: the relay's prober.
    case relay
    /// A link: whoever the edge leads there, which is its prober and Envoy.
    case link
    /// The kubelet's own port.
    case kubelet
    /// Whoever reaches :40500 otherwise: scrapers, people.
    case others
}

/// The answers of the status ports.
struct StatusResponder: Sendable {
    let store: UplinkStore
    let pages: StatusPages

    /// A number that changes with all that `/status` says but ages and counters, so that the relay asks for that only when it must.
    static let statusField = "x-tidegate-status"
    /// The hash of the document that is in force, for the edge alone.
    static let documentField = "x-tidegate-document"

    /// `/ready` and `/healthz` are answered at once; the large pages are made on another thread.
    func answer(_ request: HTTPRequest, at door: StatusDoor, on loop: any EventLoop) -> EventLoopFuture<HTTPAnswer> {
        switch request.path {
        case "/ready": return loop.makeSucceededFuture(ready(request, at: door, .now))
        case "/healthz": return loop.makeSucceededFuture(.line(.ok, LivenessAnswer(complaint: store.now.complaint).text))
        case "/status" where door != .kubelet: return pages.answer(.status, on: loop)
        case "/metrics" where door != .kubelet: return pages.answer(.metrics, on: loop)
        default:
            let paths = door == .kubelet ? "/ready and /healthz" : "/ready, /healthz, /status and /metrics"
            return loop.makeSucceededFuture(.line(.notFound, "here are \(paths)"))
        }
    }

    func ready(_ request: HTTPRequest, at door: StatusDoor, _ now: Moment) -> HTTPAnswer {
        let isRelay = door == .relay
        let isEdge = isRelay || door == .link
        func isHeard(_ condition: UplinkCondition) -> Bool {
            isRelay && (condition.relayAddress.map { ConnectionSource($0) == request.source } ?? false)
        }
        let look = store.look(now) { condition in
            // Whoever asks through the tunnel proves that it carries.
            if isHeard(condition), !request.isEnvoysCheck { condition.rhythm.ask(at: now.steady) }
        }
        let reason =
            switch door {
            case .relay: look.condition.reasonAgainstItself(now, isHeard: isHeard(look.condition))
            case .link: look.condition.reasonAgainstLinks
            case .kubelet, .others: look.condition.reasonAgainst(now)
            }
        var answer = reason.map { HTTPAnswer.line(.serviceUnavailable, $0) } ?? .line(.ok, "ready")
        answer.fields.add(name: Self.statusField, value: "\(look.number)")
        if isEdge, let hash = look.condition.hash { answer.fields.add(name: Self.documentField, value: "\(hash)") }
        return answer
    }
}

extension HTTPRequest {
    /// Envoy itself asks, as relays of before had it do: once an interval for each binding.
    fileprivate var isEnvoysCheck: Bool { fields.first(name: "User-Agent") == "Envoy/HC" }
}
