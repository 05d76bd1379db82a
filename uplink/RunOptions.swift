import ArgumentParser
import CLinuxHeaders
import Glibc
import LinkCarriers
import LinkProtocol
import Logging
import NetworkTypes
import StructuredLogging
import Syscalls
import UplinkAgent

/// What every running uplink may be told.
struct RunOptions: ParsableArguments {
    @Option(
        help: "Serve /ready, /healthz, /status and /metrics on port 40500 of this address too; 0.0.0.0 is all. May be repeated.")
    var statusAddress: [IPv4Address] = []

    @Option(help: "Serve /ready and /healthz for a kubelet on port 40501 of this address; 0.0.0.0 is all. May be repeated.")
    var probeAddress: [IPv4Address] = []

    @Option(help: "Lead port 40600 of this address to Envoy's read-only bridge; 0.0.0.0 is all. May be repeated.")
    var bridgeAddress: [IPv4Address] = []

    @Option(help: "How long established connections may go on after SIGTERM.")
    var drain: GoDuration = .seconds(15)

    @Option(help: "wireguard-go, for kernels without WireGuard. Default: the newer of that beside this program and that of PATH.")
    var wireguardGo: String?

    @Option(
        help:
            "A folder with tls.crt and tls.key, for links where the VPS or what stands before it asks for a client's certificate."
    )
    var clientCertificate: String?

    func validate() throws {
        if drain.nanoseconds < 0 { throw ValidationError("--drain: want no negative duration") }
    }

    func settings(document: String, keys: String, ordinal: Int) -> UplinkSettings {
        var settings = UplinkSettings(
            documentPath: document, keysPath: keys, ordinal: ordinal, statusAddresses: statusAddress,
            probeAddresses: probeAddress, bridgeAddresses: bridgeAddress, drain: drain, wireguardGo: wireguardGo)
        settings.clientCertificate = clientCertificate
        return settings
    }
}

/// What is done once, when an uplink starts: memory, environment and log are set.
struct RunStart {
    let environment: [String: String]
    let logger: Logger
    private let proxy: Result<HTTPProxy?, LinkCarrierError>

    init() {
        // A heap for each thread, kept for ever, would be most of the memory of this process.
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_TRIM_THRESHOLD, 64 << 10)
        // What the loader read of libraries that only links by SSH call is a megabyte.
        _ = tidegate_release_program_pages()
        // First: what is read later holds no password.
        proxy = Result { () throws(LinkCarrierError) in try ProxyEnvironment.take() }
        environment = Self.currentEnvironment()
        StructuredLogHandler.bootstrap(environment: environment)
        logger = Logger(label: "uplink")
    }

    /// Until SIGTERM.
    func run(_ settings: UplinkSettings) async throws {
        var settings = settings
        settings.proxy = usableProxy
        if let path = environment["SSL_CERT_FILE"], !path.isEmpty {
            do throws(SystemFailure) {
                settings.roots = try Descriptor.contents(of: path, limit: 4 << 20)
            } catch {
                logger.error(
                    "the system's certificates are believed", metadata: ["SSL_CERT_FILE": "\(path)", "reason": "\(error.reason)"])
            }
        }
        settings.proxyExceptions = proxyExceptions
        try await Uplink.run(settings, searchPath: environment["PATH"] ?? "", logger: logger)
    }

    /// Nil where there is none, or it is none, which is said.
    var usableProxy: HTTPProxy? {
        switch proxy {
        case .success(let proxy): return proxy
        case .failure(let problem):
            logger.error("no proxy is used", metadata: ["reason": "\(problem)"])
            return nil
        }
    }

    var proxyExceptions: ProxyExceptions {
        ProxyExceptions(environment["NO_PROXY"] ?? environment["no_proxy"] ?? "")
    }

    /// The environment, without Foundation: `NAME=value` each.
    static func environmentEntries() -> [String] {
        var result: [String] = []
        var entry = environ
        while let text = entry.pointee {
            result.append(String(cString: text))
            entry += 1
        }
        return result
    }

    private static func currentEnvironment() -> [String: String] {
        var result: [String: String] = [:]
        for entry in environmentEntries() {
            let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { result[String(parts[0])] = String(parts[1]) }
        }
        return result
    }
}
