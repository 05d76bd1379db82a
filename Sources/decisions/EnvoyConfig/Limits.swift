import NetworkTypes

/// Envoy's limits that are quiet when they strike, each set on purpose.
enum Limits {
    /// Bytes buffered on each side of a connection before Envoy stops reading (32 KiB, "Configuring Envoy as an edge proxy").
    static let connectionBuffer = 32768
    /// Bytes that the TLS inspector reads first; a ClientHello with a post-quantum key share has some 1,800. It doubles when short.
    static let clientHelloBuffer = 2048
    /// Seconds a client may take over its ClientHello.
    static let clientHelloTimeout = 10
    /// Seconds a client may take over a whole TLS handshake; Envoy's default is for ever.
    static let handshakeTimeout = 15
    /// Seconds of silence before TCP keepalive asks, between two questions, and how often it asks: 180 s in all, the time after which
    /// an uplink calls its tunnel dead too.
    static let keepaliveTime = 60
    static let keepaliveInterval = 20
    static let keepaliveProbes = 6
    /// Milliseconds that sent bytes may stay unacknowledged (TCP_USER_TIMEOUT), as long as keepalive lasts.
    static let userTimeout = 180_000
    /// Seconds that a client of the bridge may be silent, or take over a request; a scrape may come each five seconds over one connection.
    static let bridgeIdle = 10
    /// Connections to the bridge of one uplink, and of the relay itself: Prometheus keeps one, people look too.
    static let bridgeConnectionsOfOne = 4
    /// Seconds that one connection to the bridge may live.
    static let bridgeConnection = 600
    /// Attempts to connect, each by an uplink chosen anew; they share the time that a binding allows. The next one may begin before the
    /// failure of the last is acted on. So it takes two more than lead to ejection: then a dead uplink is out before the last attempt,
    /// even if all before met it.
    static let connectAttempts = failuresToEject + 2
    /// Connections in a row that fail by an uplink until it is taken out.
    static let failuresToEject = 2
    /// What an attempt gets at least, if the binding allows as much: the time after which Linux repeats a lost SYN (RFC 6298).
    static let shortestAttempt = GoDuration.seconds(1)
    /// Bytes asked of the kernel for UDP socket buffers; it grants at most net.core.rmem_max and wmem_max.
    static let udpSocketBuffer = 4_194_304
    /// Seconds after which a link that says nothing is no more: twice what its ends wait (docs/link-protocol.md).
    static let linkIdleTimeout = 60
    /// Bytes of a link's that wait in Envoy for each side: many connections share it.
    static let linkBuffer = 262_144
}
