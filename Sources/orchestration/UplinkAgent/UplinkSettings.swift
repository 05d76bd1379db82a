public import LinkCarriers
public import LinkProtocol
public import NetworkTypes
public import NodeDocument
public import Sodium

/// How an uplink is started.
public struct UplinkSettings: Sendable {
    /// The shared `UplinkDocument`.
    public var documentPath: String
    /// The folder of the keys, `priv-0`, `priv-1`, …
    public var keysPath: String
    public var ordinal: Int
    /// Where /ready, /healthz, /status and /metrics are served besides the tunnel address. 0.0.0.0 is every address.
    public var statusAddresses: [IPv4Address]
    /// Where the kubelet's probes are answered, on a port of their own; 0.0.0.0 is every address.
    public var probeAddresses: [IPv4Address]
    /// At which addresses :40600 leads to Envoy's read-only bridge; 0.0.0.0 is every address.
    public var bridgeAddresses: [IPv4Address]
    /// Between SIGTERM and the end of the tunnel.
    public var drain: GoDuration
    /// The program for kernels without WireGuard; nil takes the newer of the `wireguard-go` beside this program and that of PATH.
    public var wireguardGo: String?
    /// For links.
    public var proxy: HTTPProxy?
    public var proxyExceptions = ProxyExceptions()
    /// Nil where the controller writes the document, and not the VPS hands it over.
    public var joined: Joined?
    /// PEM: whom a `wss://` URL's web server is believed by; nil for the system's.
    public var roots: [UInt8]?
    /// A folder with `tls.crt` and `tls.key`, shown where TLS around a link asks for a client's certificate; nil for none.
    public var clientCertificate: String?

    /// What an uplink elsewhere takes from the VPS.
    public struct Joined: Sendable {
        public var opener: HandoverOpener
        /// Whose documents.
        public var owner: Owner
        /// Where the last one is kept, sealed.
        public var path: String

        public init(opener: HandoverOpener, owner: Owner, path: String) {
            self.opener = opener
            self.owner = owner
            self.path = path
        }
    }

    public init(
        documentPath: String, keysPath: String, ordinal: Int, statusAddresses: [IPv4Address] = [],
        probeAddresses: [IPv4Address] = [], bridgeAddresses: [IPv4Address] = [], drain: GoDuration = .seconds(15),
        wireguardGo: String? = nil
    ) {
        self.documentPath = documentPath
        self.keysPath = keysPath
        self.ordinal = ordinal
        self.statusAddresses = statusAddresses
        self.probeAddresses = probeAddresses
        self.bridgeAddresses = bridgeAddresses
        self.drain = drain
        self.wireguardGo = wireguardGo
    }

    var keyPath: String { "\(keysPath)/priv-\(ordinal)" }

    /// The ordinal of a StatefulSet's pod: the number after the last hyphen of its name.
    /// - Throws: `InvalidValue` when the name does not end so.
    public static func ordinal(podName: String) throws(InvalidValue) -> Int {
        let digits = podName.split(separator: "-", omittingEmptySubsequences: false).last ?? ""
        guard digits != podName, digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let ordinal = Int(digits), ordinal < 1000
        else {
            throw InvalidValue(
                expected: "pod name", given: podName,
                reason: "want NAME-ORDINAL, as a StatefulSet names its pods, or give --ordinal")
        }
        return ordinal
    }
}

extension IPv4Address {
    /// 0.0.0.0
    static let any = IPv4Address(number: 0)
    var isAny: Bool { self == .any }
}
