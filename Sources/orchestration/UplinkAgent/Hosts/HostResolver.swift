import Glibc
import NFTables
import NIOCore
import NIOPosix
import NetworkTypes
import NodeDocument
import Synchronization
import Syscalls

/// The addresses of a target that has a name, or none of IPv4: looked up for each connection, but each name once in a few seconds, and
/// judged as every target is.
final class HostResolver: Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// How long an answer counts, and a failure.
    private static let lifetime = Duration.seconds(5)
    private static let regret = Duration.seconds(1)
    /// Names that are kept.
    private static let most = 4096
    /// Addresses of a name that are tried.
    private static let mostAddresses = 4

    fileprivate enum Entry {
        case asked(since: Duration, [EventLoopPromise<[IPAddress]>])
        case known(until: Duration, Result<[IPAddress], Failure>)
    }

    private let threads: NIOThreadPool
    private let entries = Mutex<[String: Entry]>([:])
    private let lookUp: @Sendable (String) throws(LookUpFailure) -> [Syscalls.SocketAddress]

    init(
        threads: NIOThreadPool,
        lookUp: @escaping @Sendable (String) throws(LookUpFailure) -> [Syscalls.SocketAddress] = { (name) throws(LookUpFailure) in
            try Syscalls.addresses(of: name, flags: AI_ADDRCONFIG)
        }
    ) {
        self.threads = threads
        self.lookUp = lookUp
    }

    /// Where a connection to `host` may go, in the order of preference; at least one.
    func addresses(of host: RelayedHost, on loop: any EventLoop) -> EventLoopFuture<[IPAddress]> {
        let found: EventLoopFuture<[IPAddress]>
        switch host.host {
        case .ip(let address): found = loop.makeSucceededFuture([address])
        case .name(let name): found = look(name, on: loop)
        }
        return found.flatMapThrowing { addresses in
            let verdicts = addresses.map { ($0, host.obstacle(to: $0)) }
            let allowed = verdicts.filter { $0.1 == nil }.map(\.0)
            if allowed.isEmpty, let refusal = verdicts.first?.1 { throw Failure(description: "\(host.host): \(refusal)") }
            return Array(allowed.prefix(Self.mostAddresses))
        }
    }

    private func look(_ name: String, on loop: any EventLoop) -> EventLoopFuture<[IPAddress]> {
        let promise = loop.makePromise(of: [IPAddress].self)
        let now = Moment.steadyTime()
        let (answer, isFirst) = entries.withLock { entries -> (Result<[IPAddress], Failure>?, Bool) in
            switch entries[name] {
            case .known(let until, let answer)? where now < until: return (answer, false)
            case .asked(let since, let waiting)?:
                entries[name] = .asked(since: since, waiting + [promise])
                return (nil, false)
            default:
                if entries.count >= Self.most { entries = entries.filter { $0.value.isFresh(now) } }
                entries[name] = .asked(since: now, [promise])
                return (nil, true)
            }
        }
        if let answer {
            promise.completeWith(answer.mapError { $0 as any Error })
        } else if isFirst {
            // Nothing where they run already: an uplink whose targets have no names has no such threads.
            threads.start()
            threads.submit { [self] state in
                guard case .active = state else { return tell(name, .failure(Failure(description: "the uplink ends"))) }
                do throws(LookUpFailure) {
                    var found: [IPAddress] = []
                    for address in try lookUp(name).compactMap(\.ip) where !found.contains(address) { found.append(address) }
                    tell(name, found.isEmpty ? .failure(Failure(description: "\(name) has no address")) : .success(found))
                } catch {
                    tell(name, .failure(Failure(description: "\(name) cannot be looked up: \(error.reason)")))
                }
            }
        }
        return promise.futureResult
    }

    private func tell(_ name: String, _ answer: Result<[IPAddress], Failure>) {
        var waiting: [EventLoopPromise<[IPAddress]>] = []
        entries.withLock { entries in
            if case .asked(_, let promises)? = entries[name] { waiting = promises }
            let lifetime = if case .success = answer { Self.lifetime } else { Self.regret }
            entries[name] = .known(until: Moment.steadyTime() + lifetime, answer)
        }
        for promise in waiting { promise.completeWith(answer.mapError { $0 as any Error }) }
    }
}

extension HostResolver.Entry {
    fileprivate func isFresh(_ now: Duration) -> Bool {
        switch self {
        case .asked: true
        case .known(let until, _): now < until
        }
    }
}

extension UplinkContent {
    /// Nil for a forward that leads to IPv4 addresses.
    func host(of forward: Forward) -> RelayedHost? {
        guard let host = forward.host else { return nil }
        return RelayedHost(
            host: host, port: forward.targetPort, transport: forward.protocol,
            policy: TargetPolicy(denied: deniedTargets ?? [], allowed: allowedTargets ?? []),
            network: hasWireGuard ? network : nil,
            edge: relay.host)
    }

    /// Of all forwards that have one; the first of two forwards of one port has it.
    var hosts: [ForwardKey: RelayedHost] {
        var hosts: [ForwardKey: RelayedHost] = [:]
        for forward in forwards {
            let key = ForwardKey(forward.protocol, forward.tunnelPort)
            if hosts[key] == nil, let host = host(of: forward) { hosts[key] = host }
        }
        return hosts
    }
}

/// A target that an uplink dials itself, and what keeps it from being one.
struct RelayedHost: Hashable, Sendable, CustomStringConvertible {
    var host: HostAddress
    var port: Port
    var transport: TransportProtocol
    var policy: TargetPolicy
    /// The tunnel's.
    var network: CIDR?
    /// The VPS.
    var edge: HostAddress

    /// `db.example.com:5432`.
    var description: String { "\(host.bracketed):\(port)" }

    /// Why it may not be a target, as far as that is known before it is looked up; nil when it may.
    var obstacle: String? {
        if case .ip(let address) = host { return obstacle(to: address) }
        return policy.obstacle(to: host, transport, port, edge: edge)
    }

    /// Why no connection may go to that address of it; nil when one may.
    func obstacle(to address: IPAddress) -> String? {
        switch address {
        case .v4(let address): policy.obstacle(to: address, transport, port, network: network, edge: edge.ipv4)
        case .v6: policy.obstacle(to: .ip(address), transport, port, edge: edge)
        }
    }
}
