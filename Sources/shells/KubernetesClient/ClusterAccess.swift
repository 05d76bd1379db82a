public import Sodium

/// How to reach one API server, and as whom. Files are named here, not read: they rotate.
public struct ClusterAccess: Equatable, Sendable {
    public struct Server: Hashable, Sendable, CustomStringConvertible {
        public var isTLS: Bool
        /// A name or an IP address, IPv6 without brackets.
        public var host: String
        public var port: Int
        /// What stands before every path, such as `/k8s/clusters/c-1`; empty for most.
        public var basePath: String

        public init(isTLS: Bool = true, host: String, port: Int, basePath: String = "") {
            self.isTLS = isTLS
            self.host = host
            self.port = port
            self.basePath = basePath
        }

        /// `HOST:PORT`, IPv6 in brackets.
        public var authority: String { "\(host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]" : host):\(port)" }

        /// The header `Host`: without the port where the scheme says it.
        var hostHeader: String { port == (isTLS ? 443 : 80) ? String(authority.dropLast("\(port)".count + 1)) : authority }

        public var description: String { "\(isTLS ? "https" : "http")://\(authority)\(basePath)" }
    }

    /// Certificates or a key in PEM.
    public enum Material: Equatable, Sendable {
        case bytes(SecretBytes)
        /// An absolute path; read again when it changes.
        case file(String)
    }

    /// Whom the server's certificate must come from.
    public enum Authority: Equatable, Sendable {
        /// The system's.
        case system
        case these(Material)
        /// `insecure-skip-tls-verify`: anybody in between can read and change everything.
        case unchecked
    }

    public struct ClientCertificate: Equatable, Sendable {
        public var chain: Material
        public var key: Material

        public init(chain: Material, key: Material) {
            self.chain = chain
            self.key = key
        }
    }

    public enum Credential: Equatable, Sendable {
        /// A client certificate alone, or nobody.
        case none
        case token(SecretBytes)
        /// An absolute path, read again each minute; `fallback` serves until it can be read.
        case tokenFile(String, fallback: SecretBytes?)
        case basic(user: String, password: SecretBytes)
        case exec(ExecPlugin)
    }

    public var server: Server
    /// The name the server's certificate must have; nil for the server's host.
    public var tlsServerName: String?
    public var authority: Authority
    public var clientCertificate: ClientCertificate?
    public var credential: Credential
    /// Headers that make the server take us for another user.
    public var impersonation: [Header]
    /// Whether answers may come compressed.
    public var acceptsCompression: Bool
    /// The namespace of the context, or the pod's own.
    public var namespace: String
    /// Where all this comes from, for messages: `context admin of /root/.kube/config`.
    public var origin: String

    public struct Header: Hashable, Sendable {
        public var name: String
        public var value: String

        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    public init(
        server: Server, tlsServerName: String? = nil, authority: Authority = .system,
        clientCertificate: ClientCertificate? = nil, credential: Credential = .none, impersonation: [Header] = [],
        acceptsCompression: Bool = true, namespace: String = "default", origin: String
    ) {
        self.server = server
        self.tlsServerName = tlsServerName
        self.authority = authority
        self.clientCertificate = clientCertificate
        self.credential = credential
        self.impersonation = impersonation
        self.acceptsCompression = acceptsCompression
        self.namespace = namespace
        self.origin = origin
    }
}

/// A program that prints credentials (client.authentication.k8s.io, KEP-541).
public struct ExecPlugin: Equatable, Sendable {
    /// An absolute path, or a bare name looked up in PATH.
    public var command: String
    public var arguments: [String]
    /// Added to our own environment.
    public var environment: [Variable]
    /// `client.authentication.k8s.io/v1` or `/v1beta1`.
    public var apiVersion: String
    /// Shown when the program is not there; nil when the kubeconfig has none.
    public var installHint: String?
    /// The JSON object in `spec.cluster` of what the program is told; nil when it shall not know.
    public var cluster: Cluster?

    public struct Variable: Hashable, Sendable {
        public var name: String
        public var value: String
    }

    /// What `provideClusterInfo` gives the program.
    public struct Cluster: Equatable, Sendable {
        public var server: String
        public var tlsServerName: String?
        public var isUnchecked: Bool
        public var authority: ClusterAccess.Material?
    }
}
