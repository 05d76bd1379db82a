import CLinuxHeaders
import Glibc
import NetworkTypes
import NodeDocument
import Sodium
import Syscalls

/// What the prober knows of the uplinks, in `/run/tidegate/uplinks.json`. Envoy's own user may write that file: what stands in it is no
/// more than an uplink could say itself.
struct UplinkWord: Hashable, Codable, Sendable {
    /// One way to an uplink, which may have two.
    struct Entry: Hashable, Codable, Sendable {
        enum Health: String, Hashable, Codable, Sendable { case unknown, healthy, notReady, silent }

        var ordinal: Int
        var address: IPv4Address
        var health: Health
        /// Its own word; nil while it has none, for as long as it is silent, and from one that does not tell when it changes.
        var report: UplinkReport?
        /// Whether it counts as forwarding every binding: it does not say which.
        var forwardsAll: Bool
        /// What it has in force, by its answers to probes; nil where it does not say.
        var document: SHA256Digest?

        /// Whether it takes connections of the binding.
        func serves(_ binding: String) -> Bool {
            health == .healthy && (forwardsAll || report?.targets.contains { $0.binding == binding } == true)
        }
    }

    var uplinks: [Entry]

    /// Seconds for which it counts: the prober sets the file's time each second.
    private static let lifetime: Int64 = 3
    /// 253 uplinks' reports of some hundred bindings, or three of 20,000.
    static let bounds = JSONBounds(bytes: 64 << 20, values: 1_000_000)

    /// - Returns: nil when there is none, or it is old or unreadable: then the uplinks are to be asked.
    static func read(_ paths: HostPaths) -> UplinkWord? { read(paths.uplinkWord) }

    /// The same without their reports.
    static func readBrief(_ paths: HostPaths) -> UplinkWord? { read(paths.uplinkBrief) }

    private static func read(_ path: String) -> UplinkWord? {
        guard let file = try? Descriptor.open(path, O_RDONLY | O_NOFOLLOW), let status = try? file.status(),
            isRegularFile(status), status.st_size <= bounds.bytes, wasWritten(status, within: lifetime),
            let bytes = try? file.readAll(limit: bounds.bytes)
        else { return nil }
        return try? DocumentJSON.decode(UplinkWord.self, from: bytes, within: bounds)
    }

    /// What tells a word from the next without reading it: nil when there is none, or it is old.
    static func stamp(_ paths: HostPaths) -> [UInt64]? {
        let stamps = [paths.uplinkBrief, paths.uplinkWord].compactMap { path -> UInt64? in
            guard let status = (try? statusOf(path)) ?? nil, wasWritten(status, within: lifetime) else { return nil }
            return UInt64(status.st_ino)
        }
        return stamps.isEmpty ? nil : stamps
    }
}

extension UplinkWord {
    enum Saying: Hashable {
        case report(UplinkReport)
        case silence
    }

    /// What an uplink says by its best way.
    /// - Parameter addresses: where it is reached.
    /// - Returns: nil for an uplink that has to be asked.
    func saying(of ordinal: Int, at addresses: [IPv4Address]) -> Saying? {
        let ways = uplinks.filter { $0.ordinal == ordinal && addresses.contains($0.address) }
        guard let entry = ways.min(by: { $0.health.rank < $1.health.rank }) else { return nil }
        switch entry.health {
        case .unknown: return nil
        case .silent: return .silence
        case .healthy, .notReady:
            guard var report = entry.report ?? ways.first(where: { $0.report != nil })?.report else { return nil }
            // The probes are newer than the report.
            report.ready = entry.health == .healthy
            report.reason = report.ready ? nil : report.reason ?? "it answers /ready with 503"
            return .report(report)
        }
    }

    /// Whether somebody answers there; nil while that is not known.
    func isHeard(at address: IPv4Address) -> Bool? {
        switch uplinks.first(where: { $0.address == address })?.health {
        case .healthy, .notReady: true
        case .silent: false
        case .unknown, nil: nil
        }
    }

    /// - Parameter isBrief: whether their reports are left out, which thousands of bindings make long.
    init(_ watch: UplinkWatch, isBrief: Bool = false) {
        uplinks = watch.uplinks.map { uplink in
            let health: Entry.Health =
                switch uplink.health {
                case .unknown: .unknown
                case .healthy: uplink.isKnown || uplink.isCurrent ? .healthy : .unknown
                case .notReady: .notReady
                case .silent: .silent
                }
            return Entry(
                ordinal: uplink.ordinal, address: uplink.address, health: health,
                report: health == .silent || isBrief ? nil : uplink.report,
                forwardsAll: uplink.isKnown && uplink.forwards == nil, document: uplink.document)
        }
    }

    /// Whether some uplink that is well forwards all bindings.
    /// - Parameter document: what does so.
    func servesAll(_ document: SHA256Digest?) -> Bool {
        uplinks.contains { $0.health == .healthy && ($0.forwardsAll || (document != nil && $0.document == document)) }
    }

    /// The bindings that no uplink takes connections of, sorted.
    /// - Parameter document: what an uplink must have in force to take all of them; nil where that is not known.
    func starved(_ bindings: some Sequence<String>, document: SHA256Digest? = nil) -> [String] {
        if servesAll(document) { return [] }
        let healthy = uplinks.filter { $0.health == .healthy }
        let served = Set(healthy.flatMap { $0.report?.targets.map(\.binding) ?? [] })
        return bindings.filter { !served.contains($0) }.sorted()
    }
}

extension UplinkWord.Entry.Health {
    /// By any way healthy is healthy, and silent is who is so by all.
    fileprivate var rank: Int {
        switch self {
        case .healthy: 0
        case .notReady: 1
        case .unknown: 2
        case .silent: 3
        }
    }
}
