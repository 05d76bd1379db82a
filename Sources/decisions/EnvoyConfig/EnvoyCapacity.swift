import NetworkTypes
import NodeDocument

/// How the files that a host lets Envoy open are shared out between listeners and connections.
extension EnvoyHost {
    /// Logs, event loops, the admin interface, hot restart, and some to spare.
    static let otherFiles = 128

    /// Files that Envoy's unit gets beside those of its connections: 16,384 listeners on any number of worker threads. It must not follow
    /// the number of listeners: a change of it restarts Envoy.
    public static func spareFiles(workers: Int) -> Int { max(65536, workers * 16384) }

    /// Files that connections leave alone: an eighth, and more where listeners want it, up to three quarters. It doubles rather than
    /// grows, so that what everyone may hold changes seldom.
    var reservedFiles: Int {
        let most = min(openFiles / 4 * 3, Self.spareFiles(workers: workers))
        var reserved = min(openFiles / 8, 65536)
        while reserved < standingFiles && reserved < most { reserved = max(1, reserved * 2) }
        return min(reserved, most)
    }

    /// Listeners that one run of `envoy --mode validate` checks: each takes three files there (seen with 1.40.0, whatever the number
    /// of workers), and 500 take 120 MB. At least one.
    public var listenersPerProof: Int { max(1, min(500, (childFiles - 64) / 4)) }
}

extension EnvoyConfiguration {
    /// Files that Envoy keeps open for this configuration, connections aside.
    public func standingFiles(on host: EnvoyHost) -> Int {
        EnvoyHost.otherFiles + bridgeFiles + envoy.inotifyInstances + (link?.inotifyInstances ?? 0) + listeners.count
            * host.workers
    }

    /// The configuration with as many listeners as the host has files for, and what only the others need left out.
    /// - Parameter served: listeners that come first, for people use them already.
    /// - Returns: `host`: with the configuration's standing files; `left`: the names of the listeners left out, in their order.
    public func fitting(
        _ host: EnvoyHost, served: Set<String> = []
    ) -> (configuration: EnvoyConfiguration, host: EnvoyHost, left: [String]) {
        var host = host
        host.standingFiles = standingFiles(on: host)
        guard host.standingFiles > host.reservedFiles else { return (self, host, []) }
        // The bridge is Tidegate's own eye on Envoy, and without links nothing else carries.
        func rank(_ listener: EnvoyListener) -> Int {
            listener.isBridge || listener.takesLinks ? 0 : served.contains(listener.name) ? 1 : 2
        }
        var room = host.reservedFiles - EnvoyHost.otherFiles - bridgeFiles - 3
        var kept: Set<String> = []
        for level in 0...2 {
            for listener in listeners where rank(listener) == level {
                let cost = listener.bindings.reduce(host.workers) { cost, name in
                    cost + 2 * (binding(name)?.secretCount ?? 0)
                }
                guard cost <= room else { continue }
                room -= cost
                kept.insert(listener.name)
            }
        }
        let left = listeners.filter { !kept.contains($0.name) }
        let gone = Set(left.flatMap(\.bindings))
        var rest = envoy
        rest.bindings.removeAll { gone.contains($0.name) }
        if left.contains(where: \.isBridge) { rest.bridge = .off }
        return (with(rest), host, left.map(\.name))
    }
}
