import KubernetesClient
import Sodium
import TestFiles
import Testing

/// kubeconfig files, good and bad.
struct KubeconfigTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// A kubeconfig with one context, of these parts.
    static func config(cluster: String = "{server: 'https://api.test:6443'}", user: String = "{}", context: String = "") -> String
    {
        """
        apiVersion: v1
        kind: Config
        current-context: main
        clusters: [{name: c, cluster: \(cluster)}]
        users: [{name: u, user: \(user)}]
        contexts: [{name: main, context: {cluster: c, user: u\(context)}}]
        """
    }

    private func load(_ text: String, context: String? = nil) throws(ClusterAccessError) -> ClusterAccess {
        let file: String
        do { file = try folder.write("config", text) } catch { throw ClusterAccessError("config", "\(error)") }
        return try ClusterAccess.load(kubeconfig: file, context: context, environment: [:])
    }

    private func complaint(_ text: String, context: String? = nil) -> String {
        do throws(ClusterAccessError) {
            return "\(try load(text, context: context))"
        } catch {
            return error.description.replacing("\(folder.path)/", with: "")
        }
    }

    @Test func readsTheCluster() throws {
        let access = try load(Self.config(context: ", namespace: tunnel"))
        #expect(access.server == .init(host: "api.test", port: 6443))
        #expect(access.authority == .system && access.credential == .none && access.clientCertificate == nil)
        #expect(access.namespace == "tunnel" && access.acceptsCompression)
        #expect(access.origin == "context main of \(folder.path)/config")
        #expect(try load(Self.config()).namespace == "default")
    }

    @Test(arguments: [
        ("https://api.test", "https://api.test:443"), ("http://127.0.0.1:8001/", "http://127.0.0.1:8001"),
        ("https://[fd00::1]:6443", "https://[fd00::1]:6443"), ("https://[fd00::1]", "https://[fd00::1]:443"),
        ("https://rancher.test/k8s/clusters/c-1/", "https://rancher.test:443/k8s/clusters/c-1"), ("http://h", "http://h:80"),
    ])
    func readsTheServer(text: String, expected: String) throws {
        #expect(try load(Self.config(cluster: "{server: '\(text)'}")).server.description == expected)
    }

    @Test(arguments: [
        "api.test:6443", "ftp://api.test", "https://", "https://:6443", "https://api.test:0", "https://api.test:70000",
        "https://api.test:", "https://a b", "https://user:x@api.test", "https://api.test/?a=b", "https://fd00::1:6443",
        "https://[fd00::1", "https://[api.test]:1", "https://[fe80::1%25eth0]:1", "https://api.test/%zz\\u0001",
    ])
    func refusesTheServer(text: String) {
        #expect(complaint(Self.config(cluster: "{server: \"\(text)\"}")).hasPrefix("config: clusters[0].cluster.server: "))
    }

    @Test func readsWhatIsTrusted() throws {
        let data = try load(Self.config(cluster: "{server: 'https://a', certificate-authority-data: 'UEVN\n  LQ=='}"))
        #expect(data.authority == .these(.bytes(try SecretBytes(copying: "PEM-".utf8))))
        let file = try load(Self.config(cluster: "{server: 'https://a', certificate-authority: pki/ca.crt}"))
        #expect(file.authority == .these(.file("\(folder.path)/pki/ca.crt")))
        let whole = try load(Self.config(cluster: "{server: 'https://a', certificate-authority: /pki/ca.crt}"))
        #expect(whole.authority == .these(.file("/pki/ca.crt")))
        let unchecked = try load(Self.config(cluster: "{server: 'https://a', insecure-skip-tls-verify: true}"))
        #expect(unchecked.authority == .unchecked)
        let named = try load(
            Self.config(cluster: "{server: 'https://10.0.0.1', tls-server-name: api.test, disable-compression: true}"))
        #expect(named.tlsServerName == "api.test" && !named.acceptsCompression)
        #expect(try load(Self.config(cluster: "{server: 'https://a', tls-server-name: a}")).tlsServerName == nil)
    }

    @Test func readsTheUser() throws {
        let secret = try SecretBytes(copying: "s3cret".utf8)
        #expect(try load(Self.config(user: "{token: s3cret}")).credential == .token(secret))
        #expect(
            try load(Self.config(user: "{token: s3cret, tokenFile: t}")).credential
                == .tokenFile("\(folder.path)/t", fallback: secret))
        #expect(try load(Self.config(user: "{tokenFile: /t}")).credential == .tokenFile("/t", fallback: nil))
        #expect(
            try load(Self.config(user: "{username: jane, password: s3cret}")).credential
                == .basic(user: "jane", password: secret))
        let pair = try load(Self.config(user: "{client-certificate: c.crt, client-key-data: czNjcmV0}")).clientCertificate
        #expect(pair == .init(chain: .file("\(folder.path)/c.crt"), key: .bytes(secret)))
        let other = try load(Self.config(user: "{as: jane, as-uid: '7', as-groups: [a, b]}")).impersonation
        #expect(
            other.map { "\($0.name)=\($0.value)" } == [
                "Impersonate-User=jane", "Impersonate-Uid=7", "Impersonate-Group=a", "Impersonate-Group=b",
            ])
    }

    @Test func readsTheProgram() throws {
        let user = """
            {exec: {apiVersion: client.authentication.k8s.io/v1, command: bin/login, args: [a, ''], interactiveMode: IfAvailable,
              env: [{name: A, value: b}, {name: B}], installHint: get it, provideClusterInfo: true}}
            """
        let access = try load(Self.config(cluster: "{server: 'https://a', certificate-authority: ca.crt}", user: user))
        guard case .exec(let plugin) = access.credential else {
            Issue.record("\(access.credential)")
            return
        }
        #expect(plugin.command == "\(folder.path)/bin/login" && plugin.arguments == ["a", ""])
        #expect(plugin.environment.map { "\($0.name)=\($0.value)" } == ["A=b", "B="])
        #expect(plugin.installHint == "get it" && plugin.apiVersion == "client.authentication.k8s.io/v1")
        #expect(plugin.cluster?.server == "https://a:443")
        #expect(plugin.cluster?.authority == .file("\(folder.path)/ca.crt"))
        let short = "{exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: login}}"
        guard case .exec(let bare) = try load(Self.config(user: short)).credential else {
            Issue.record("no exec")
            return
        }
        #expect(bare.command == "login" && bare.cluster == nil)
    }

    @Test(arguments: [
        ("{server: 'https://a', proxy-url: 'http://p'}", "{}", "clusters[0].cluster.proxy-url: a proxy"),
        ("{}", "{}", "clusters[0].cluster.server: missing"),
        ("{server: 1}", "{}", "clusters[0].cluster.server: want a text"),
        ("{server: 'https://a', server: 'https://b'}", "{}", "clusters[0].cluster: server stands twice"),
        ("{server: 'https://a', tls-server-name: 10.0.0.1.}", "{}", "tls-server-name: 10.0.0.1. is no DNS name"),
        ("{server: 'https://a', insecure-skip-tls-verify: yes please}", "{}", "insecure-skip-tls-verify: want true or false"),
        ("{server: 'https://a', insecure-skip-tls-verify: true, certificate-authority: x}", "{}", "goes not together with"),
        ("{server: 'https://a', certificate-authority-data: '%'}", "{}", "certificate-authority-data: not base64"),
        (
            "{server: 'https://a', certificate-authority-data: eA==, certificate-authority: x}", "{}",
            "certificate-authority-data: certificate-authority is there too"
        ),
        ("{server: 'https://a'}", "{auth-provider: {name: gcp}}", "users[0].user.auth-provider: auth-provider is not supported"),
        ("{server: 'https://a'}", "{client-certificate: x}", "users[0].user: client-certificate without client-key"),
        ("{server: 'https://a'}", "{client-key: x}", "users[0].user: client-key without client-certificate"),
        ("{server: 'https://a'}", "{token: hush, username: u, password: p}", "users[0].user: more than one of"),
        ("{server: 'https://a'}", "{token: 123}", "users[0].user.token: want a text; put it in quotes"),
        ("{server: 'https://a'}", "{token: \"a\\0b\"}", "a NUL character has no place"),
        ("{server: 'https://a'}", "{username: u}", "users[0].user: username without password"),
        ("{server: 'https://a'}", "{username: 'a:b', password: p}", "users[0].user.username: a colon"),
        ("{server: 'https://a'}", "{as-groups: [a]}", "users[0].user: as-uid and as-groups want as"),
        ("{server: 'https://a'}", "{as: \"a\\r\\nX: y\"}", "no control characters"),
        ("{server: 'https://a'}", "{as: j, as-user-extra: {a: [b]}}", "users[0].user.as-user-extra: not supported"),
        ("{server: 'https://a'}", "[]", "users[0].user: want a mapping"),
        ("{server: 'https://a'}", "{exec: {command: x}}", "users[0].user.exec.apiVersion: missing"),
        (
            "{server: 'https://a'}", "{exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}}",
            "exec.apiVersion: client.authentication.k8s.io/v1alpha1 is not supported"
        ),
        (
            "{server: 'https://a'}", "{exec: {apiVersion: client.authentication.k8s.io/v1, command: x}}",
            "exec.interactiveMode: missing"
        ),
        (
            "{server: 'https://a'}",
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Always}}",
            "exec.interactiveMode: nobody is there"
        ),
        (
            "{server: 'https://a'}", "{exec: {apiVersion: client.authentication.k8s.io/v1beta1}}",
            "users[0].user.exec.command: missing"
        ),
        (
            "{server: 'https://a'}",
            "{exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: x, env: [{name: 'A=B'}]}}",
            "exec.env[0].name: want the name of a variable"
        ),
        (
            "{server: 'https://a'}", "{exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: x, args: [1]}}",
            "exec.args[0]: want a text"
        ),
    ])
    func namesWhatIsWrong(cluster: String, user: String, expected: String) {
        let complaint = complaint(Self.config(cluster: cluster, user: user))
        #expect(complaint.hasPrefix("config: ") && complaint.contains(expected), "\(complaint)")
        #expect(!complaint.contains("hush"))
    }

    @Test(arguments: [
        ("{", "config: line"), ("kind: Pod", "config: kind: Pod is no kubeconfig"),
        ("kind: \"a\\e[1m\"", "kind: a\\u{1b}[1m is no kubeconfig"), ("", "current-context is not set"),
        ("a: 1\n---\nb: 2", "want one YAML document, there are 2"), ("contexts: {}", "config: contexts: want a list"),
        ("contexts: [{name: a}, {name: a}]", "contexts[1]: the name a stands twice"),
        ("contexts: [{name: a}, {name: b}]", "choose one with --context (there are: a, b)"),
        ("current-context: x\ncontexts: [{name: a}]", "there is no context x (there are: a)"),
        ("current-context: a\ncontexts: [{name: a}]", "contexts[0].context.cluster: missing"),
        ("current-context: a\ncontexts: [{name: a, context: {cluster: c}}]", "there is no cluster c (there are: none)"),
        (
            "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n"
                + "clusters: [{name: c, cluster: {server: 'https://a'}}]",
            "contexts[0].context.user: there is no user u (there are: none)"
        ),
    ])
    func namesWhatIsMissing(text: String, expected: String) {
        let complaint = complaint(text)
        #expect(complaint.contains(expected), "\(complaint)")
    }

    /// What no context that is used refers to may be broken.
    @Test func looksOnlyAtWhatIsUsed() throws {
        let text = Self.config() + "\n" + "preferences: {}\nextensions: [1]\n"
        let broken = text.replacing("users: [", with: "users: [{name: z, user: {token: 1}}, ")
        #expect(try load(broken, context: "main").server.host == "api.test")
        #expect(complaint(broken, context: "other").contains("there is no context other"))
    }
}
