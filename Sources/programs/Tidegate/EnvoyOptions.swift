public import ArgumentParser
import Enrollment
import Glibc
import NetworkTypes
import NodeDocument
public import Sodium

/// Which Envoy the VPSes run.
struct EnvoyOptions: ParsableArguments {
    /// The newest release that everything here was tested with.
    static let defaultVersion = "1.40.0"
    /// Where Envoy's project publishes its binaries.
    static let defaultSource = "https://github.com/envoyproxy/envoy/releases/download/v{version}/envoy-{version}-linux-x86_64"

    @Option(help: "Envoy release installed on every VPS.")
    var envoyVersion = defaultVersion

    @Option(
        help: """
            Where Envoy comes from: a URL with {version} in it, or a file that is pushed to the VPS (default: the file envoy in \
            the agent's folder, and without one \(defaultSource)).
            """)
    var envoySource: String?

    @Option(help: "SHA-256 of the Envoy binary; needed for a URL, checked for a file.")
    var envoySha256: SHA256Digest?

    /// - Parameter folder: of the agent.
    func source(folder: String) throws -> EnvoySource {
        guard envoyVersion.utf8.count <= 40, !envoyVersion.isEmpty,
            envoyVersion.utf8.allSatisfy({ ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x61 && $0 <= 0x7A) || $0 == 0x2E || $0 == 0x2D }
            ),
            envoyVersion.utf8.first != 0x2E
        else {
            throw ValidationError("--envoy-version: want a release such as \(Self.defaultVersion)")
        }
        let shipped = "\(folder)/envoy"
        let source = envoySource ?? (access(shipped, R_OK) == 0 ? shipped : Self.defaultSource)
        return try EnvoySource(parsing: source, version: envoyVersion, sha256: envoySha256)
    }
}

extension SHA256Digest: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}
