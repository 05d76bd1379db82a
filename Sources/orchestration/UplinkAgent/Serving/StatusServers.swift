import Glibc
import HTTPServing
import HostNetwork
import Logging
import NIOCore
import NIOPosix
import NetworkTypes
import ServiceLifecycle
import Synchronization

/// Serves the status: to the relay on the tunnel address, which comes with the first document, to the kubelet on a port of its own,
/// and to everybody else on the addresses given by flag. Each has its own socket and budget, so none waits in another's backlog.
struct StatusServers: Service {
    let responder: StatusResponder
    let store: UplinkStore
    /// For everybody else: 0.0.0.0 is every address.
    let extraAddresses: [IPv4Address]
    /// For the kubelet.
    let probeAddresses: [IPv4Address]
    /// Of the relay and the kubelet, of one thread.
    let group: any EventLoopGroup
    /// Of everybody else, of one thread: what they cost the others cannot be more than a share of the processor.
    let othersGroup: any EventLoopGroup
    let logger: Logger

    func run() async throws {
        await withDiscardingTaskGroup { tasks in
            for address in unique(probeAddresses) { tasks.addTask { await serve(Slot(address, .kubelet)) } }
            for address in unique(extraAddresses) { tasks.addTask { await serve(Slot(address, .others)) } }
            var tunnel: Slot?
            for await address in store.addresses.cancelOnGracefulShutdown() where !extraAddresses.contains(address) {
                tunnel?.stop()
                let slot = Slot(address, .relay)
                tunnel = slot
                tasks.addTask { await serve(slot) }
            }
        }
    }

    private func unique(_ addresses: [IPv4Address]) -> [IPv4Address] {
        addresses.contains(where: \.isAny) ? [.any] : Set(addresses).sorted()
    }

    // MARK: Budgets

    private func settings(_ door: StatusDoor) -> HTTPConnections.Settings {
        let responder = responder
        let limits: ConnectionBudget<ConnectionSource>.Limits
        let idle: TimeAmount
        switch door {
        case .relay, .link:
            // A prober asks over a fresh connection; Envoys of before keep one for each binding, and dial anew where one was closed.
            limits = .init(total: 512, ofOneSource: 512)
            idle = .seconds(60)
        case .kubelet:
            // One question a second over a fresh connection; who else reaches the port takes from himself.
            limits = .init(total: 64, ofOneSource: 8)
            idle = .seconds(5)
        case .others:
            limits = .init(total: 64, ofOneSource: 16)
            idle = .seconds(15)
        }
        return HTTPConnections.Settings(limits: limits, idle: idle) { responder.answer($0, at: door, on: $1) }
    }

    // MARK: Sockets

    /// An address that is served until it is given up.
    private final class Slot: Sendable {
        let address: IPv4Address
        let door: StatusDoor
        private let state = Mutex<(isStopped: Bool, server: (any Channel)?)>((false, nil))

        init(_ address: IPv4Address, _ door: StatusDoor) {
            self.address = address
            self.door = door
        }

        var port: Port { door == .kubelet ? .uplinkProbes : .uplinkReadiness }
        var isStopped: Bool { state.withLock { $0.isStopped } }

        func began(_ server: any Channel) {
            let isLate = state.withLock { state in
                state.server = server
                return state.isStopped
            }
            if isLate { server.close(promise: nil) }
        }

        func stop() {
            let server = state.withLock { state in
                state.isStopped = true
                return state.server
            }
            server?.close(promise: nil)
        }
    }

    /// Serves one address, and tries again where it is taken or not there yet.
    private func serve(_ slot: Slot) async {
        var lastFailure: String?
        await withGracefulShutdownHandler {
            while !slot.isStopped && !Task.isCancelled {
                do {
                    let listener = try await listen(slot)
                    slot.began(listener.channel)
                    try await listener.channel.closeFuture.get()
                    _ = listener.quiesce()
                } catch {
                    let failure = "\(error)"
                    if failure != lastFailure {
                        logger.error(
                            "cannot serve the status; trying again every second",
                            metadata: ["address": "\(slot.address):\(slot.port)", "reason": "\(failure)"])
                    }
                    lastFailure = failure
                    try? await cancelWhenGracefulShutdown { try await Task.sleep(for: .seconds(1)) }
                }
            }
        } onGracefulShutdown: {
            slot.stop()
        }
    }

    private func listen(_ slot: Slot) async throws -> HTTPListener {
        let door = slot.door
        let loop = (door == .others ? othersGroup : group).next()
        // Beside a socket of every address the tunnel's has its own, and the kernel prefers the one that is bound more narrowly.
        let sharesPort = door != .kubelet && extraAddresses.contains(where: \.isAny)
        // By no name: a look-up finds no `::` where no interface has an address of IPv6.
        let address = try SocketAddress(ipAddress: Self.host(of: slot.address), port: Int(slot.port.number))
        return try await .bind(to: address, sharesPort: sharesPort, on: loop, settings(door))
    }

    /// 0.0.0.0 stands for every address, of IPv6 too where the host has that: a kubelet asks a pod at its first address, of
    /// whichever family. Without IPv6 there is no such setting; where it says 1, `::` would leave IPv4 out.
    private static func host(of address: IPv4Address) -> String {
        guard address.isAny, let key = SysctlKey("net.ipv6.bindv6only") else { return "\(address)" }
        let takesBoth = (try? Sysctl.read(key)) == "0"
        return takesBoth ? "::" : "\(address)"
    }
}
