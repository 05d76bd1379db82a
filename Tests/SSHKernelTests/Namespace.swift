import Foundation
import Glibc
import Syscalls

/// A network namespace with nothing but its loopback, deleted with its owner.
///
/// How these tests get into it: programs are started by `ip netns exec`; sockets of the test itself, and those of an
/// `SSHConnection` (`socket`), are made by a thread of their own that enters with setns(2) and does nothing else. The
/// namespace of the test process, and so the machine's own, is never touched. Needs root and Debian's iproute2, nftables
/// and openssh-server.
final class Namespace: Sendable {
    let name: String

    init() throws {
        name = "ssh-" + UUID().uuidString.prefix(8).lowercased()
        try run("/usr/sbin/ip", ["netns", "add", name])
        Leftovers.add(name) { [name] in _ = try? run("/usr/sbin/ip", ["netns", "delete", name]) }
        try run("/usr/sbin/ip", ["-n", name, "link", "set", "lo", "up"])
    }

    deinit { Leftovers.undo(name) }

    func execute(_ words: String...) throws { try run("/usr/sbin/ip", ["netns", "exec", name] + words) }

    /// Moves the calling thread in, for good.
    private func enter() {
        // Swift's Glibc module hides what wants _GNU_SOURCE.
        typealias SetNS = @convention(c) (Int32, Int32) -> Int32
        guard let symbol = dlsym(nil, "setns") else { fatalError("setns is missing") }
        let descriptor = open("/run/netns/" + name, O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        let cloneNewNet: Int32 = 0x4000_0000
        guard unsafeBitCast(symbol, to: SetNS.self)(descriptor, cloneNewNet) == 0 else { fatalError("setns: \(errno)") }
    }

    /// A socket of `family` that belongs here, whose calls never wait.
    @Sendable func socket(_ family: Int32) throws(SystemFailure) -> Descriptor {
        try inside { Result { () throws(SystemFailure) in try Descriptor.socket(family, isWaiting: false) } }.get()
    }

    /// Runs `body` inside, on a thread of its own, and returns when it has. It must resume no task and touch no queue: a thread
    /// that Swift's pool starts then would be in the namespace as well, and so would whatever runs on it later.
    func inside<Result: Sendable>(_ body: @escaping @Sendable () -> Result) -> Result {
        let box = Box<Result?>(nil)
        let done = DispatchSemaphore(value: 0)
        Thread {
            self.enter()
            box.value = body()
            done.signal()
        }.start()
        done.wait()
        guard let result = box.value else { fatalError("the thread left nothing") }
        return result
    }
}

/// Handed over by a semaphore.
private final class Box<Value>: @unchecked Sendable {
    var value: Value
    init(_ value: Value) { self.value = value }
}
