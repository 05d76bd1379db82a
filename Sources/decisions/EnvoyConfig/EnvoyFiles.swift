import JSON
import NodeDocument

/// A file under Envoy's working directory.
public struct EnvoyFile: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    public enum Kind: Hashable, Sendable {
        /// Read at start only: a change needs a restart.
        case bootstrap
        /// For the prober (`UplinkProbes`).
        case probes
        /// What each port and binding may hold; Envoy takes changes over at once.
        case limits
        case secret
        /// A certificate chain or CA.
        case certificate
        case privateKey
    }

    /// Relative to the working directory, such as `bootstrap.json` or `tls/web-0a1b.key`.
    public var path: String
    public var kind: Kind
    public var contents: String

    public var description: String { "EnvoyFile(\(path), \(contents.utf8.count) bytes)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension EnvoyConfiguration {
    /// The bootstrap: all that a running Envoy does not take over from a file.
    public func bootstrapFile(on host: EnvoyHost) -> EnvoyFile {
        EnvoyFile(path: EnvoyPath.bootstrap, kind: .bootstrap, contents: bootstrap(on: host).json)
    }

    /// All other files but those of clusters and listeners, in the order in which to put new ones in place: each before what refers to it.
    public func files(on host: EnvoyHost) -> [EnvoyFile] {
        let secrets = secrets
        var tlsFiles: [String: TLSFile] = [:]
        for secret in secrets { for file in secret.files { tlsFiles[file.name] = file } }
        var files = tlsFiles.values.sorted { $0.name < $1.name }.map { file in
            EnvoyFile(
                path: "tls/\(file.name)", kind: file.name.hasSuffix(".key") ? .privateKey : .certificate, contents: file.contents)
        }
        for secret in secrets {
            files.append(EnvoyFile(path: "sds/\(secret.name).json", kind: .secret, contents: response(secret).json))
        }
        files.append(EnvoyFile(path: UplinkProbes.fileName, kind: .probes, contents: probes.text))
        files.append(EnvoyFile(path: EnvoyPath.limits, kind: .limits, contents: limits(on: host).json))
        return files
    }
}

/// A DiscoveryResponse, the form of every file that Envoy watches.
private func response(_ secret: TLSSecret) -> FieldValue {
    ["resources": [.typed("extensions.transport_sockets.tls.v3.Secret", secret.resource)]]
}
