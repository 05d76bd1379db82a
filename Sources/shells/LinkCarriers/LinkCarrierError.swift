/// No byte stream to the other end came about, or its other end is not the one that was pinned.
public struct LinkCarrierError: Error, Sendable, CustomStringConvertible {
    public enum Step: Equatable, Sendable {
        /// Making the own key fit for TLS.
        case key
        case connecting(to: String)
        case proxy(String)
        /// Reading the proxy's URL, which may hold a password.
        case proxyURL
        case webSocket(String)
        /// Logging in at the edge's sshd.
        case ssh(String)
        /// What the edge's sshd shows for a host key.
        case hostKey(String)
        /// From the edge's sshd to the link program.
        case sshSocket(String)
        /// TLS around the link, with a web server or the edge's port.
        case outerTLS(String)
        /// Reading what is shown there, from that folder.
        case clientCertificate(String)
        /// Whoever ends the TLS around the link does not take what was shown, or wants to see something.
        case refusedCertificate(String)
        /// The link's own TLS.
        case innerTLS
        case pin
        /// The edge broke off before it said hello.
        case hello
    }

    public let step: Step
    /// What the system, the library or the peer said, made safe to print.
    public let cause: String

    /// Whether a server did not take the key that was shown to it.
    public var isRefusedLogin = false

    public init(_ step: Step, cause: String) {
        self.step = step
        self.cause = printableText(cause)
    }

    /// After an alert (RFC 8446, section 6.2) where the link's own handshake, or a WebSocket, is the first to read from a server that does not take
    /// the client's certificate around it.
    func blaming(_ outer: OuterTLS?) -> LinkCarrierError {
        guard let outer, cause.contains("ALERT") else { return self }
        return LinkCarrierError(.refusedCertificate("\(outer.serverName)"), cause: cause)
    }

    public var description: String { "\(tried): \(cause); \(next)" }

    private var tried: String {
        switch step {
        case .key: "preparing the link's key"
        case .connecting(let address): "connecting to \(address)"
        case .proxy(let address): "through the proxy \(address)"
        case .proxyURL: "reading the proxy's URL"
        case .webSocket(let url): "opening the WebSocket \(url)"
        case .ssh(let edge): "logging in by \(edge)"
        case .hostKey(let edge): "checking the host key of \(edge)"
        case .sshSocket(let edge): "from the sshd of \(edge) to the link program"
        case .outerTLS(let host), .refusedCertificate(let host): "TLS with \(host)"
        case .clientCertificate(let folder): "reading tls.crt and tls.key of \(folder)"
        case .innerTLS: "the link's TLS handshake"
        case .pin: "checking who answers"
        case .hello: "waiting for the edge's hello"
        }
    }

    private var next: String {
        switch step {
        case .key: "make a new key"
        case .connecting: "see whether the edge runs and no firewall is between; the next carrier is tried"
        case .proxy: "see whether the proxy's address, user and password are right and it allows CONNECT there"
        case .proxyURL: "want http://user:password@host:port, user and password with their special characters as %41"
        case .webSocket: "see whether host and path are those of the edge, and what is in front passes WebSockets on"
        case .ssh: "see what the EdgeNode's conditions say of its sshd, and sshd's log on the VPS"
        case .hostKey:
            "nothing was sent, since somebody may sit in between: if the VPS has another key, put that into knownHosts of the EdgeNode's "
                + "SSH Secret"
        case .sshSocket: "see whether tidegate-link.service runs on the VPS, and its sshd has AllowStreamLocalForwarding"
        case .outerTLS:
            "see whether its certificate is valid for that name, and its Secret has the ca.crt of who signed it, where no public authority did"
        case .clientCertificate: "see whether spec.uplink.clientCertificateSecretRef names a Secret with both, in PEM"
        case .refusedCertificate:
            "it wants a client's certificate: have spec.uplink.clientCertificateSecretRef name one that is valid, of the authority in "
                + "spec.tunnel.link.clientCASecretRef"
        case .innerTLS: "see whether something in between ends TLS: then take WebSocket as the carrier"
        case .pin: "the edge was made anew, or somebody is in between: compare the pin with the one the edge reports"
        case .hello: "the edge does not know this uplink's key, or has as many of its links as it takes"
        }
    }
}

/// What came from outside, fit for a log: printable ASCII, 200 bytes at most.
func printableText(_ text: String) -> String {
    String(decoding: text.utf8.prefix(200).map { (0x20..<0x7F).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
}
