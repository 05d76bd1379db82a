import ArgumentParser
import Enrollment
import NetworkTypes
import NodeDocument
import Sodium

/// Which Envoy the VPSes run.
struct EnvoyOptions: ParsableArguments {
    /// The newest release that everything here was tested with.
    static let defaultVersion = "1.40.0"
    /// Where Envoy's project publishes its binaries.
    static let defaultSource = "https://github.com/envoyproxy/envoy/releases/download/v{version}/envoy-{version}-linux-x86_64"

    @Option(help: "Envoy release installed on every VPS.")
    var envoyVersion = defaultVersion

    @Option(help: "Where Envoy comes from: a URL with {version} in it, or a file that is pushed to the VPS.")
    var envoySource = defaultSource

    @Option(help: "SHA-256 of the Envoy binary; needed for a URL, checked for a file.")
    var envoySha256: SHA256Digest?

    func source() throws -> EnvoySource {
        guard envoyVersion.utf8.count <= 40, !envoyVersion.isEmpty,
            envoyVersion.utf8.allSatisfy({ ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x61 && $0 <= 0x7A) || $0 == 0x2E || $0 == 0x2D }
            ),
            envoyVersion.utf8.first != 0x2E
        else {
            throw ValidationError("--envoy-version: want a release such as \(Self.defaultVersion)")
        }
        return try EnvoySource(parsing: envoySource, version: envoyVersion, sha256: envoySha256)
    }
}

extension SHA256Digest: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}
