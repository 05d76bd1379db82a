import Glibc
import NetworkTypes
import Synchronization
import Syscalls

/// Looks a name up with getaddrinfo(3), which can neither be given a deadline nor be interrupted: it runs on a thread of
/// its own, and whoever waits may go away.
final class Resolver: Sendable {
    enum Answer: Sendable {
        case addresses([SocketAddress])
        case failure(String)

        init(name: String, port: Port) {
            do throws(LookUpFailure) {
                self = .addresses(try Syscalls.addresses(of: name, port: port))
            } catch {
                self = .failure(error.reason)
            }
        }
    }

    private let answer = Mutex<Answer?>(nil)
    private let done: WakeSignal

    init(name: String, port: Port) throws(SystemFailure) {
        done = try WakeSignal()
        try startThread(named: "ssh-resolver") { [self] in
            let found = Answer(name: name, port: port)
            answer.withLock { $0 = found }
            done.raise()
        }
    }

    /// - Returns: nil when `deadline` came first, or `wake` was raised.
    func wait(until deadline: ContinuousClock.Instant, wake: WakeSignal) throws(SystemFailure) -> Answer? {
        var descriptors = [done.number, wake.number].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        _ = try poll(&descriptors, until: deadline)
        return answer.withLock { $0 }
    }
}
