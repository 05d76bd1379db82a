import NIOCore
import NIOPosix
import NetworkTypes

/// Connects to a host by the first of its addresses that takes the connection.
struct HostDialer: Sendable {
    let resolver: HostResolver

    /// For one address; the binding's own time is Envoy's matter.
    private static let timeout = TimeAmount.seconds(3)

    /// - Parameter bootstrap: for each attempt anew.
    func connect(
        to host: RelayedHost, on loop: any EventLoop, bootstrap: @escaping @Sendable () -> ClientBootstrap
    ) -> EventLoopFuture<any Channel> {
        resolver.addresses(of: host, on: loop).flatMap { attempt($0[...], host.port, on: loop, bootstrap) }
    }

    private func attempt(
        _ addresses: ArraySlice<IPAddress>, _ port: Port, on loop: any EventLoop,
        _ bootstrap: @escaping @Sendable () -> ClientBootstrap
    ) -> EventLoopFuture<any Channel> {
        guard let first = addresses.first else {
            return loop.makeFailedFuture(HostResolver.Failure(description: "no address"))
        }
        let place: SocketAddress
        do {
            place = try SocketAddress(ipAddress: "\(first)", port: Int(port.number))
        } catch {
            return loop.makeFailedFuture(error)
        }
        return bootstrap().connectTimeout(Self.timeout).connect(to: place).flatMapError { error in
            addresses.count == 1
                ? loop.makeFailedFuture(error) : attempt(addresses.dropFirst(), port, on: loop, bootstrap)
        }
    }
}
