import KubernetesClient
import TestFiles
import Testing

/// Which of several ways is taken.
struct LoadAccessTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func config(_ host: String) -> String { KubeconfigTests.config(cluster: "{server: 'https://\(host)'}") }

    private func load(
        kubeconfig: String? = nil, context: String? = nil, _ environment: [String: String], pod: String = "/no/such"
    ) throws -> ClusterAccess {
        try ClusterAccess.load(kubeconfig: kubeconfig, context: context, environment: environment, serviceAccount: pod)
    }

    private func complaint(_ environment: [String: String], kubeconfig: String? = nil) throws -> String {
        do {
            return "\(try load(kubeconfig: kubeconfig, environment))"
        } catch let error as ClusterAccessError {
            return error.description
        }
    }

    private func makePod() throws -> String {
        try folder.write("sub/token", "t")
        try folder.write("sub/ca.crt", "")
        try folder.write("sub/namespace", "tunnel\n")
        return "\(folder.path)/sub"
    }

    @Test func takesTheFirstThatIsThere() throws {
        let flag = try folder.write("flag", config("flag"))
        let variable = try folder.write("variable", config("variable"))
        let pod = try makePod()
        var environment = [
            "KUBECONFIG": variable, "KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443", "HOME": "/no/such",
        ]
        #expect(try load(kubeconfig: flag, environment, pod: pod).server.host == "flag")
        #expect(try load(kubeconfig: "", context: "", environment, pod: pod).server.host == "variable")
        environment["KUBECONFIG"] = ""
        let inPod = try load(environment, pod: pod)
        #expect(inPod.server == .init(host: "10.0.0.1", port: 443))
        #expect(inPod.credential == .tokenFile("\(pod)/token", fallback: nil))
        #expect(inPod.authority == .these(.file("\(pod)/ca.crt")))
        #expect(inPod.namespace == "tunnel")
        environment["KUBERNETES_SERVICE_HOST"] = "fd00::1"
        #expect(try load(environment, pod: pod).server.description == "https://[fd00::1]:443")
    }

    @Test func takesTheHomeFolderLast() throws {
        let home = try TemporaryFolder()
        // The folder's name is part of the rule.
        #expect(try complaint(["HOME": home.path]).contains("\(home.path)/.kube/config: no way to an API server"))
        #expect(try complaint([:]).contains("no way to an API server"))
    }

    @Test func namesAPodWithoutToken() throws {
        let pod = ["KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"]
        #expect(
            try complaint(pod).contains("/no/such/token: there is no such file, though this is a pod; does it have automount"))
    }

    @Test(arguments: [("10.0.0.1", "0"), ("10.0.0.1", "x"), ("a b", "443")])
    func refusesABadEnvironment(host: String, port: String) throws {
        let environment = ["KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port]
        let pod = try makePod()
        #expect(throws: ClusterAccessError.self) { try load(environment, pod: pod) }
    }

    @Test func namesAFileThatCannotBeRead() throws {
        #expect(try complaint([:], kubeconfig: "/no/such") == "/no/such: there is no such file")
        #expect(try complaint([:], kubeconfig: "/") == "/: is a folder")
        #expect(try complaint(["KUBECONFIG": "/no/such:/no/other"]).hasPrefix("KUBECONFIG: none of its files is there"))
    }

    /// kubectl: the first file to name something decides on it as a whole; files that are not there are passed over.
    @Test func mergesFiles() throws {
        let first = try folder.write(
            "first",
            """
            clusters: [{name: c, cluster: {server: 'https://first'}}]
            contexts: [{name: a, context: {cluster: c, user: u}}]
            """)
        let second = try folder.write(
            "second",
            """
            current-context: b
            clusters: [{name: c, cluster: {server: 'https://second', tls-server-name: x}}, {name: d, cluster: {server: 'https://d'}}]
            contexts: [{name: b, context: {cluster: d, user: u}}, {name: a, context: {cluster: d}}]
            users: [{name: u, user: {tokenFile: t}}]
            """)
        let third = try folder.write("third", "current-context: a")
        let environment = ["KUBECONFIG": "/no/such::\(first):\(second):\(third)"]
        let current = try load(environment)
        #expect(current.server.host == "d" && current.credential == .tokenFile("\(folder.path)/t", fallback: nil))
        let chosen = try load(context: "a", environment)
        #expect(chosen.server.host == "first" && chosen.tlsServerName == nil)
        #expect(chosen.credential == .tokenFile("\(folder.path)/t", fallback: nil))
        #expect(chosen.origin == "context a of \(first)")
    }

    @Test func oneBrokenFileIsAnError() throws {
        let good = try folder.write("good", config("good"))
        let bad = try folder.write("bad", "{")
        #expect(try complaint(["KUBECONFIG": "\(good):\(bad)"]).hasPrefix(bad))
    }
}
