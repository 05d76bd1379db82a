import EnvoyConfig
import NetworkTypes
import NodeDocument

/// What the kernel's settings should be.
struct WantedSettings: Hashable, Sendable {
    enum Value: Hashable, Sendable {
        /// A host's own higher value stays.
        case atLeast(Int)
        /// Nothing else.
        case exactly(Int)
        /// Two numbers, `low high`; a host's own wider range stays.
        case spanning(ClosedRange<Int>)
        /// Ports and ranges of them, `80,8000-8010`; those of the host stay.
        case including([ClosedRange<Int>])
    }

    var values: [String: Value] = [:]
    var disablesOffloads = false

    /// The kernel gives connections 28,232 local ports for each uplink and binding, less than `spec.edge.maxConnections`. Those below
    /// are left to services of the host.
    static let localPorts = 10_240...65_535
    /// The kernel takes no more in one write (PAGE_SIZE, proc_do_large_bitmap).
    static let longestList = 4095

    init(_ content: RelayContent) {
        let bytes = content.host.kernelMaxSocketBufferBytes
        if bytes > 0 {
            values["net.core.rmem_max"] = .atLeast(bytes)
            values["net.core.wmem_max"] = .atLeast(bytes)
        }
        // Envoy aborts when it gets no inotify instance; the kernel's default is 128 for each user (inotify(7)).
        let watches = content.envoy.inotifyInstances + (content.link?.inotifyInstances ?? 0)
        values["fs.inotify.max_user_instances"] = .atLeast(watches + 32)
        values["net.ipv4.ip_local_port_range"] = .spanning(Self.localPorts)
        // Envoy is the side that closes: after half a minute of new connections its ports wait out TIME_WAIT, and each connect(2) searches
        // among them, 150 to 250 a second in place of 1,700. The kernel tells old segments by their timestamps (RFC 6191).
        values["net.ipv4.tcp_tw_reuse"] = .exactly(1)
        // No outgoing connection may sit on a port that is, or will be, a listener's.
        var ports = content.listeners.map { Int($0.port.number) } + [Int(content.wireGuard.listenPort.number)]
        // Nor on one where the link program listens.
        if let link = content.link {
            let linkPorts =
                [.uplinkReadiness, .linkDoor, .webSocketDoor, link.listenPort] + content.envoy.bindings.map(\.tunnelPort)
            ports += linkPorts.map { Int($0.number) }
            // A listener that is closed while another has its port leaves to that what it has not accepted.
            values["net.ipv4.tcp_migrate_req"] = .exactly(1)
        }
        values["net.ipv4.ip_local_reserved_ports"] = .including(portRanges(ports.filter(Self.localPorts.contains)))
        disablesOffloads = content.host.disableNicOffloads
    }

    /// - Parameters:
    ///   - current: what stands now; nil where this host does not let it be seen.
    ///   - former: what stood before we first changed it; nil when we never did.
    /// - Returns: what to write; nil for nothing.
    static func change(to wanted: Value, current: String?, former: String?) -> String? {
        guard let current else { return nil }
        let own = former ?? current
        switch wanted {
        case .atLeast(let minimum):
            guard let now = Int(current), let own = Int(own) else { return nil }
            let value = max(own, minimum)
            return value == now ? nil : "\(value)"
        case .exactly(let value):
            guard let now = Int(current) else { return nil }
            return value == now ? nil : "\(value)"
        case .spanning(let range):
            guard let now = pair(current), let own = pair(own) else { return nil }
            let value = min(own.lowerBound, range.lowerBound)...max(own.upperBound, range.upperBound)
            return value == now ? nil : "\(value.lowerBound) \(value.upperBound)"
        case .including(let ranges):
            guard let now = parsePortRanges(current), let own = parsePortRanges(own) else { return nil }
            var value = portRanges(own + ranges)
            // Thousands of scattered ports: the first ones, then.
            while text(value).utf8.count > longestList { value.removeLast(max(1, value.count / 20)) }
            return value == portRanges(now) ? nil : text(value)
        }
    }

    private static func pair(_ text: String) -> ClosedRange<Int>? {
        let numbers = text.split { $0 == " " || $0 == "\t" }.map { Int($0) }
        guard numbers.count == 2, let low = numbers[0], let high = numbers[1], low <= high else { return nil }
        return low...high
    }

    private static func text(_ ranges: [ClosedRange<Int>]) -> String {
        ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }.joined(separator: ",")
    }
}

/// Sorted, and joined where they touch.
func portRanges(_ ranges: [ClosedRange<Int>]) -> [ClosedRange<Int>] {
    ranges.sorted { $0.lowerBound < $1.lowerBound }.reduce(into: []) { result, range in
        if let last = result.last, range.lowerBound <= last.upperBound + 1 {
            result[result.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
        } else {
            result.append(range)
        }
    }
}

private func portRanges(_ ports: [Int]) -> [ClosedRange<Int>] { portRanges(ports.map { $0...$0 }) }

/// - Returns: nil for what is no such list.
func parsePortRanges(_ text: String) -> [ClosedRange<Int>]? {
    var result: [ClosedRange<Int>] = []
    for item in text.split(separator: ",") {
        let ends = item.split(separator: "-").map { Int($0) }
        guard let first = ends.first, let low = first, let last = ends.last, let high = last, ends.count <= 2, low <= high,
            low >= 0, high <= UInt16.max
        else { return nil }
        result.append(low...high)
    }
    return result
}
