import HTTPServing
import NIOCore
import NIOHTTP1
import NIOPosix
import NetworkTypes
import NodeDocument
import PrometheusMetrics
import Synchronization

/// `/status` and `/metrics`, which grow with the bindings: made off the event loops, once a second however many ask.
final class StatusPages: Sendable {
    enum Page: Hashable, Sendable {
        case status
        case metrics
    }

    private let store: UplinkStore
    /// Of one thread: pages are made one after the other.
    private let threads: NIOThreadPool
    private let made = Mutex(Made())

    private struct Made {
        var pages: [Page: (number: UInt64, second: Int, answer: HTTPAnswer)] = [:]
        /// The JSON of all targets, and the version they had.
        var targets: (version: UInt64, json: [UInt8])?
    }

    init(store: UplinkStore, threads: NIOThreadPool) {
        self.store = store
        self.threads = threads
    }

    func answer(_ page: Page, on loop: any EventLoop) -> EventLoopFuture<HTTPAnswer> {
        threads.runIfActive(eventLoop: loop) { self.make(page, .now) }
    }

    /// To be called by one thread at a time, or the same page is made twice.
    func make(_ page: Page, _ now: Moment) -> HTTPAnswer {
        let look = store.look(now)
        let second = now.steady.wholeSeconds
        if let known = made.withLock({ $0.pages[page] }), known.number == look.number, known.second == second {
            return known.answer
        }
        let answer: HTTPAnswer
        switch page {
        case .metrics:
            let text = Metrics.text(of: look.condition, now)
            answer = HTTPAnswer(.ok, contentType: Exposition.contentType, body: ByteBuffer(string: text))
        case .status:
            do throws(DocumentError) {
                let json = try status(look.condition, now)
                answer = HTTPAnswer(.ok, contentType: "application/json", body: ByteBuffer(bytes: json + [UInt8(ascii: "\n")]))
            } catch {
                answer = .line(.internalServerError, error.message)
            }
        }
        made.withLock { $0.pages[page] = (look.number, second, answer) }
        return answer
    }

    /// The report, with the JSON of the targets from before where they are the same: it is nearly all of it.
    private func status(_ condition: UplinkCondition, _ now: Moment) throws(DocumentError) -> [UInt8] {
        var report = condition.report(now, withTargets: false)
        if report.targets.isEmpty && condition.forwards.isEmpty { return try DocumentJSON.encode(report) }
        let targets: [UInt8]
        if let known = made.withLock({ $0.targets }), known.version == condition.targetsVersion {
            targets = known.json
        } else {
            targets = try DocumentJSON.encode(condition.targetReports)
            made.withLock { $0.targets = (condition.targetsVersion, targets) }
        }
        report.targets = []
        let frame = try DocumentJSON.encode(report)
        // In a JSON text these bytes are the field and nothing else: within a string the quotes would be escaped.
        guard let place = frame.range(of: "\"targets\":[]".utf8) else {
            return try DocumentJSON.encode(condition.report(now))
        }
        return frame[..<place.lowerBound] + Array("\"targets\":".utf8) + targets + frame[place.upperBound...]
    }
}
