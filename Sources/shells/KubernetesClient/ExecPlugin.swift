import Documents
import JSON
import KubernetesAPI
import NetworkTypes
import Sodium

extension ExecPlugin {
    static let versions = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"]

    init(_ field: ConfigField, cluster: ConfigField) throws(ClusterAccessError) {
        let version = try field.child("apiVersion")
        apiVersion = try version.required()
        guard Self.versions.contains(apiVersion) else {
            throw version.fail("\(printable(apiVersion)) is not supported; want \(Self.versions.joined(separator: " or "))")
        }
        let command = try field.child("command")
        let program = try command.required()
        self.command = program.contains("/") ? command.resolve(program) : program
        arguments = try field.child("args").texts()
        environment = []
        for item in try field.child("env").items() {
            let name = try item.child("name")
            guard let text = try name.text(), !text.contains("=") else { throw name.fail("want the name of a variable") }
            environment.append(Variable(name: text, value: try item.child("value").text() ?? ""))
        }
        installHint = try field.child("installHint").text()
        let mode = try field.child("interactiveMode")
        switch try mode.text() {
        case "Never", "IfAvailable": break
        case nil where apiVersion.hasSuffix("/v1beta1"): break
        case nil: throw mode.fail("missing; want Never, or IfAvailable")
        case "Always": throw mode.fail("nobody is there to answer the program; use a plugin that runs with IfAvailable or Never")
        case let other?: throw mode.fail("\(printable(other)) is no mode; want Never or IfAvailable")
        }
        self.cluster = nil
        if try field.child("provideClusterInfo").flag() {
            let server = try Kubeconfig.server(cluster.child("server"))
            let data = try cluster.child("certificate-authority-data").data()
            let file = try cluster.child("certificate-authority").filePath()
            self.cluster = Cluster(
                server: server.description, tlsServerName: try cluster.child("tls-server-name").text(),
                isUnchecked: try cluster.child("insecure-skip-tls-verify").flag(),
                authority: data.map { .bytes($0) } ?? file.map { .file($0) })
        }
    }

    /// The value of KUBERNETES_EXEC_INFO.
    /// - Parameter authority: the bytes of `cluster.authority`.
    func information(authority: [UInt8]?) -> String {
        var spec: FieldMembers = ["interactive": .bool(false)]
        if let cluster {
            var fields: FieldMembers = ["server": .string(cluster.server)]
            if let name = cluster.tlsServerName { fields["tls-server-name"] = .string(name) }
            if cluster.isUnchecked { fields["insecure-skip-tls-verify"] = .bool(true) }
            if let authority { fields["certificate-authority-data"] = .string(encodeBase64(authority)) }
            spec["cluster"] = .object(fields)
        }
        let credential: FieldMembers = [
            "apiVersion": .string(apiVersion), "kind": .string("ExecCredential"), "spec": .object(spec),
        ]
        return FieldValue.object(credential).json
    }
}

/// What an exec plugin printed: an ExecCredential.
struct ExecAnswer: Equatable, Sendable {
    var token: SecretBytes?
    var clientCertificate: ClusterAccess.ClientCertificate?
    /// Seconds since 1970; nil when they hold until the server refuses them.
    var expires: Int64?

    /// - Throws: a text that says what is wrong with the answer, and nothing of what it says.
    init(_ output: [UInt8], apiVersion: String) throws(ExecProblem) {
        guard let node = try? FieldNode(json: output) else { throw ExecProblem("it printed no JSON") }
        guard node["kind"]?.text == "ExecCredential" else { throw ExecProblem("it printed no ExecCredential") }
        guard node["apiVersion"]?.text == apiVersion else {
            throw ExecProblem("its ExecCredential is not of \(apiVersion), as the kubeconfig says")
        }
        guard let status = node["status"], status.entries != nil else { throw ExecProblem("its ExecCredential has no status") }
        token = try Self.secret(status["token"])
        let chain = try Self.secret(status["clientCertificateData"])
        let key = try Self.secret(status["clientKeyData"])
        switch (chain, key) {
        case (nil, nil): clientCertificate = nil
        case (let chain?, let key?):
            clientCertificate = ClusterAccess.ClientCertificate(chain: .bytes(chain), key: .bytes(key))
        default: throw ExecProblem("it printed one of clientCertificateData and clientKeyData without the other")
        }
        guard token != nil || clientCertificate != nil else { throw ExecProblem("it printed neither token nor certificate") }
        if let text = status["expirationTimestamp"]?.text {
            guard let time = secondsSince1970(rfc3339: text) else {
                throw ExecProblem("its expirationTimestamp is no time (RFC 3339)")
            }
            expires = time
        }
    }

    private static func secret(_ node: FieldNode?) throws(ExecProblem) -> SecretBytes? {
        guard let text = node?.text, !text.isEmpty else { return nil }
        do { return try SecretBytes(copying: text.utf8) } catch { throw ExecProblem("\(error)") }
    }
}

/// Why an exec plugin gave no credentials.
struct ExecProblem: Error, Equatable {
    let message: String
    init(_ message: String) { self.message = message }
}
