import Glibc
import NodeDocument
import Sodium

/// A new port is opened when an uplink says that it forwards it: before that its first connections would be reset. Ports that are open
/// stay so, whatever the uplinks say.
///
/// Where no uplink is well, there is nothing to wait for: the port is opened at once, so that the first uplink which comes finds it open.
struct ForwardingWait {
    let paths: HostPaths
    /// Listeners whose ports are open.
    let served: Set<String>
    /// What an uplink must have in force to forward all of them; nil where that is not known.
    let document: SHA256Digest?
    private let deadline: Deadline

    static let message = "no uplink forwards it yet; its port is opened once one does"
    /// Within which uplinks that see a change at once have taken it up, one after the other.
    private static let patience = 2000

    /// - Parameter milliseconds: to wait in all.
    init(paths: HostPaths, served: Set<String>, document: SHA256Digest?, milliseconds: Int = patience) {
        self.paths = paths
        self.served = served
        self.document = document
        deadline = Deadline(milliseconds: milliseconds)
    }

    /// Those of `listeners` that are to wait.
    static func unforwarded(
        _ listeners: [EnvoyListener], served: Set<String>, _ word: UplinkWord?, document: SHA256Digest? = nil
    ) -> Set<String> {
        let healthy = word?.uplinks.filter { $0.health == .healthy } ?? []
        if healthy.isEmpty || word?.servesAll(document) == true { return [] }
        let forwarded = Set(healthy.flatMap { $0.report?.targets.map(\.binding) ?? [] })
        let waiting = listeners.filter { listener in
            !listener.bindings.isEmpty && !served.contains(listener.name)
                && !listener.bindings.contains(where: forwarded.contains)
        }
        return Set(waiting.map(\.name))
    }

    func now(_ listeners: [EnvoyListener]) -> Set<String> {
        let isNew = listeners.contains { !$0.bindings.isEmpty && !served.contains($0.name) }
        if !isNew || UplinkWord.readBrief(paths)?.servesAll(document) == true { return [] }
        return Self.unforwarded(listeners, served: served, UplinkWord.read(paths), document: document)
    }

    /// Until all are forwarded, or the time is over.
    func wait(_ listeners: [EnvoyListener]) -> Set<String> {
        var stamp = UplinkWord.stamp(paths)
        var unforwarded = now(listeners)
        while !unforwarded.isEmpty, deadline.remaining != nil {
            usleep(10_000)
            let next = UplinkWord.stamp(paths)
            if next == stamp { continue }
            stamp = next
            unforwarded = now(listeners)
        }
        return unforwarded
    }
}
