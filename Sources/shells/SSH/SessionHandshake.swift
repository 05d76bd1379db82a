import CLibssh2
import Glibc
import NetworkTypes
import Syscalls

extension Session {
    /// From looking the name up to a session that takes commands. Where a server allows a single try, and that was not for the key, the
    /// password gets a connection of its own.
    static func establish(
        _ endpoint: Endpoint, credentials: SSHCredentials, policy: HostKeyPolicy, timeouts: SSHTimeouts,
        socket: @escaping Dialer.Socket, statistics: Wire.Statistics, wake: WakeSignal,
        interruption: @escaping () -> Interruption?
    ) throws(SSHError) -> (Session, HostKey) {
        let deadline = ContinuousClock.now + timeouts.connect
        func attempt(_ credentials: SSHCredentials) throws(SSHError) -> (Session, HostKey, rest: (SSHCredentials, SSHError)?) {
            try establish(
                endpoint, credentials: credentials, policy: policy, timeouts: timeouts, deadline: deadline,
                socket: socket, statistics: statistics, wake: wake, interruption: interruption)
        }
        let (session, key, rest) = try attempt(credentials)
        guard let rest else { return (session, key) }
        session.disconnect()
        do throws(SSHError) {
            let (session, key, none) = try attempt(rest.0)
            if none == nil { return (session, key) }
        } catch {
            // Of the two refusals that of the key says why there were two.
            guard case .authenticationRefused(let tried, let offered, let hints) = error.reason,
                case .authenticationRefused(let before, _, let first) = rest.1.reason
            else { throw error }
            throw endpoint.failure(
                .authenticationRefused(
                    tried: before + tried, offered: offered, hints: first + hints.filter { !first.contains($0) }))
        }
        throw rest.1
    }

    private static func establish(
        _ endpoint: Endpoint, credentials: SSHCredentials, policy: HostKeyPolicy, timeouts: SSHTimeouts,
        deadline: ContinuousClock.Instant, socket: @escaping Dialer.Socket, statistics: Wire.Statistics, wake: WakeSignal,
        interruption: @escaping () -> Interruption?
    ) throws(SSHError) -> (Session, HostKey, rest: (SSHCredentials, SSHError)?) {
        let socket = try dial(
            endpoint, timeouts: timeouts, deadline: deadline, socket: socket, wake: wake, interruption: interruption)
        let wire = Wire(socket: socket, wake: wake, statistics: statistics)
        wire.deadline = deadline
        wire.configure(timeouts)
        var pinned: [String] = []
        if case .knownHosts(let known) = policy { pinned = known.keyTypes(host: endpoint.host, port: endpoint.port) }
        let session = try Session(
            wire: wire, endpoint: endpoint, timeouts: timeouts, pinnedKeyTypes: pinned, interruption: interruption)
        let key = try session.shakeHands(socket: socket.number)
        // No credential, not even the user's name, goes out before this.
        try session.judge(key, by: policy)
        do throws(SSHError) {
            try session.authenticate(credentials)
        } catch {
            guard let untried = session.untried else { throw error }
            return (session, key, (untried, error))
        }
        session.beginService()
        return (session, key, nil)
    }

    private static func dial(
        _ endpoint: Endpoint, timeouts: SSHTimeouts, deadline: ContinuousClock.Instant, socket: @escaping Dialer.Socket,
        wake: WakeSignal, interruption: () -> Interruption?
    ) throws(SSHError) -> Descriptor {
        func interrupted() -> SSHError {
            endpoint.failure(interruption() == .closing ? .closed : .cancelled(during: .connecting))
        }
        do {
            let addresses: [SocketAddress]
            switch endpoint.host {
            case .ip(let address): addresses = [SocketAddress(address, port: endpoint.port)]
            case .name(let name):
                switch try Resolver(name: name, port: endpoint.port).wait(until: deadline, wake: wake) {
                case .addresses(let found): addresses = found
                case .failure(let detail): throw endpoint.failure(.nameUnresolvable(detail))
                case nil:
                    if interruption() != nil { throw interrupted() }
                    throw endpoint.failure(.nameUnresolvable("the resolver did not answer within \(seconds(timeouts.connect))"))
                }
            }
            var dialer = Dialer(addresses, socket: socket)
            switch try dialer.dial(until: deadline, wake: wake) {
            case .connected(let socket): return socket
            case .woken: throw interrupted()
            case .timedOut(let attempts): throw endpoint.failure(.connectTimedOut(after: timeouts.connect, attempts))
            case .failed(let attempts, let codes):
                if codes.allSatisfy({ $0 == ECONNREFUSED }) { throw endpoint.failure(.refused(attempts)) }
                if codes.allSatisfy({ $0 == ETIMEDOUT }) {
                    throw endpoint.failure(.connectTimedOut(after: timeouts.connect, attempts))
                }
                throw endpoint.failure(.unreachable(attempts))
            }
        } catch let error as SSHError {
            throw error
        } catch {
            let code = (error as? SystemFailure)?.code ?? 0
            throw endpoint.failure(.outOfResources("no socket or thread for a connection: \(errnoText(code))"))
        }
    }

    private func shakeHands(socket: Int32) throws(SSHError) -> HostKey {
        let code = algorithms.apply(to: handle)
        if code != 0 { throw failure(.connecting, code: code) }
        try check(.handshake) { libssh2_session_handshake($0, socket) }
        var length = 0
        var type: Int32 = 0
        guard let bytes = libssh2_session_hostkey(handle, &length, &type),
            let key = HostKey(blob: Array(UnsafeRawBufferPointer(start: bytes, count: length)))
        else { throw endpoint.failure(.protocolFailure(during: .handshake, code: 0, "the server showed no host key")) }
        return key
    }

    private func judge(_ key: HostKey, by policy: HostKeyPolicy) throws(SSHError) {
        guard case .knownHosts(let known) = policy else { return }
        let line = key.knownHostsLine(host: endpoint.host, port: endpoint.port)
        switch known.check(host: endpoint.host, port: endpoint.port, key: key) {
        case .trusted: return
        case .unknown: throw endpoint.failure(.hostKeyUnknown(key, lineToAdd: line, ignoredLines: known.ignoredLines))
        case .mismatch(let pinned): throw endpoint.failure(.hostKeyChanged(key, lineToAdd: line, pinned: pinned))
        case .revoked(let line): throw endpoint.failure(.hostKeyRevoked(key, line: line))
        }
    }
}
