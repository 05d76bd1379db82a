import Glibc
import HostNetwork
import NFTables
import NetlinkMessages
import NetworkTypes
import Synchronization
import Syscalls
import WireGuardNetlink

/// The network namespace that this process runs in, as a mesh changes it. All of it blocks.
final class MeshHost: Sendable {
    struct Look: Sendable {
        /// Bytes that came from the other end.
        var received: UInt64
        /// Of this end's WireGuard; nil while it has no socket.
        var listenPort: Port?
    }

    private let programs: [WireGuardGo.Program]
    private let device = Mutex<WireGuardDevice?>(nil)

    /// - Parameter programs: for kernels without WireGuard; the newest is taken.
    init(_ programs: [WireGuardGo.Program]) { self.programs = programs }

    /// - Returns: what was changed, and the routes that were left out, with the reason.
    func settle(_ end: MeshEnd) throws -> (changes: [HostChange], leftOut: [String]) {
        try device.withLock { device in
            // The rules first: nothing may come through the mesh that they do not watch.
            var changes = try FixedTable.apply(end.rules.ruleset)
            let opened = try open(&device)
            let (routes, leftOut) = try NetworkInterfaces().usable(end.routes, besides: opened.name)
            do {
                changes += try opened.ensureInterface(addresses: [end.address], mtu: end.mtu, routes: routes)
                changes += try opened.configure(end.wireGuard)
            } catch {
                // The next attempt looks for it anew: its kind may be another by then.
                device = nil
                throw error
            }
            if end.forwards { changes += try Forwarding.turnOn().changes }
            return (changes, leftOut)
        }
    }

    func look() throws -> Look {
        try device.withLock { device in
            let status = try open(&device).status()
            return Look(
                received: status.peers.reduce(0) { $0 &+ $1.receivedBytes }, listenPort: try? Port(Int(status.listenPort)))
        }
    }

    /// Ends the session with the other end, and begins a new one: a remote that was started again knows nothing of the former.
    func renew() throws {
        try device.withLock { device in
            let opened = try open(&device)
            try opened.forget(try opened.status().peers)
        }
    }

    /// Whatever of a mesh is there. What cannot be removed is in `failures`.
    func remove() -> (changes: [HostChange], failures: [String]) {
        device.withLock { device in
            var changes: [HostChange] = []
            var failures: [String] = []
            func attempt(_ body: () throws -> [HostChange]) {
                do { changes += try body() } catch { failures.append("\(error)") }
            }
            attempt { try open(&device).remove() }
            attempt { try FixedTable.remove(MeshRuleset.table) }
            device = nil
            return (changes, failures)
        }
    }

    private func open(_ device: inout WireGuardDevice?) throws -> WireGuardDevice {
        if let device { return device }
        guard let name = InterfaceName(MeshEnd.interface) else {
            throw SystemFailure("name \(MeshEnd.interface)", EINVAL)
        }
        let programs = programs
        let opened = try WireGuardDevice.open(
            name,
            startUserspace: programs.isEmpty
                ? nil
                : { interface in
                    if let program = WireGuardGo.newest(of: programs) { try WireGuardGo.start(program, interface: interface) }
                })
        device = opened
        return opened
    }
}
