import EdgeAPI
import NetworkTypes
import NodeDocument

extension RelayBinding {
    /// - Parameter material: nil where TLS does not end at the edge, and where the host keeps what it has.
    init(_ binding: Binding, tunnelPort: Port, material: TLSMaterial?) {
        let transport: RelayTransport
        switch binding.transport {
        case .tcp(let options):
            let tls = options.tls.map { RelayTLS(mode: $0.relayMode, hostnames: $0.hostnames.sorted(), material: material) }
            transport = .tcp(
                RelayTCP(
                    connectTimeout: options.connectTimeout, idleTimeout: options.idleTimeout,
                    proxyProtocol: options.proxyProtocol, tls: tls))
        case .udp(let options):
            transport = .udp(RelayUDP(sessionTimeout: options.sessionTimeout, maxDatagramBytes: options.maxDatagramBytes))
        }
        self.init(name: binding.name, listenPort: binding.listenPort, tunnelPort: tunnelPort, transport: transport)
    }
}

extension TLSOptions {
    var relayMode: RelayTLS.Mode {
        switch mode {
        case .passthrough: .passthrough
        case .offload: .offload
        case .mutual: .mutual
        }
    }
}

extension UplinkProbing {
    /// What the prober asks, and how soon it believes. Each uplink is asked once a second at least: a longer interval would cost
    /// seconds.
    init(_ check: HealthCheckSpec) {
        func milliseconds(_ duration: GoDuration) -> Int { Int(min(max(duration.nanoseconds / 1_000_000, 100), 86_400_000)) }
        self.init(
            intervalMilliseconds: milliseconds(min(check.interval, .seconds(1))),
            timeoutMilliseconds: milliseconds(check.timeout),
            unhealthyThreshold: check.unhealthyThreshold)
    }
}
