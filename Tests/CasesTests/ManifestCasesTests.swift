import Foundation
import TestFiles
import TestPrograms
import Testing

/// Inputs of public reports of this field, played whole through the commands that a user has: what is right is taken, and what is not
/// is told in a sentence that names the field and the cure. The corpus is `../shared/cases` of the project.
@Suite struct ManifestCasesTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        /// What `tidegate validate` says; nil where it has nothing against it.
        var validate: String?
        /// What `tidegate render` says; nil where it has nothing against it.
        var render: String?
        /// What `tidegate render` must print too.
        var prints: String = ""
        var testDescription: String { name }

        /// Told by both.
        init(_ name: String, told: String) { (self.name, validate, render) = (name, told, told) }
        /// Told once all is put together.
        init(_ name: String, render: String) { (self.name, self.render) = (name, render) }
        init(_ name: String, prints: String) { (self.name, self.prints) = (name, prints) }
    }

    static let cases = [
        Case("09-user-first_last", prints: "EdgeNode default/edge"),
        Case("10-kh-fingerprint", told: "knownHosts"),
        Case("12-svc-externalname", prints: "leads to nas.lan:443"),
        Case("12-svc-noclusterip", render: "has no spec.clusterIP"),
        Case("12-svc-portname", prints: "leads to 10.96.0.20:80"),
        Case("13-pb-star", told: "quotes"),
        Case("14-addr-url", told: "leave ssh:// out"),
        Case("14-addr-user", told: "the user goes into spec.ssh.user"),
        Case("15-pw-hash", told: "password is empty; fill it in (to YAML an unquoted text that begins with # is a comment"),
        Case("16-port-443-udp", prints: "tcp-443"),
        Case("16-target-in-tunnel", told: "lies in the tunnel's own network"),
    ]

    @Test(arguments: cases) func isTakenOrTold(one: Case) throws {
        let folder = try TemporaryFolder()
        let text = try String(contentsOf: Corpus.folder.appending(path: "manifests/\(one.name).yaml"), encoding: .utf8)
        let file = try folder.write(
            "case.yaml", text.replacing("(a private key that the test makes)", with: try privateKey(folder)))
        for (arguments, words) in [(["validate", file], one.validate), (["render", "--manifests", folder.path], one.render)] {
            let (status, output) = try tidegate(arguments)
            if let words {
                #expect(status == 1 && output.contains(words), "\(arguments[0]): \(output)")
            } else {
                #expect(status == 0, "\(arguments[0]): \(output)")
            }
            if arguments[0] == "render", !one.prints.isEmpty { #expect(output.contains(one.prints), "\(output)") }
        }
    }

    /// A file that comes without a word of what must become of it would be no test.
    @Test func everyFileHasAVerdict() throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: Corpus.folder.appending(path: "manifests").path)
        #expect(Set(files) == Set(Self.cases.map { "\($0.name).yaml" }))
        let folders = try FileManager.default.contentsOfDirectory(atPath: Corpus.folder.path).sorted()
        #expect(folders == ["README.md", "forced-command", "login-prints", "manifests", "sshd"])
    }

    // Keys and certificates as people mangle them, which do not belong into files of a repository.
    static let mangled: [(String, @Sendable (String) -> String, String)] = [
        ("folded by >", { $0.replacing("\n", with: " ") }, "its lines are folded into one"),
        ("\\n written out", { $0.replacing("\n", with: "\\n") }, "its line ends are written out as \\n"),
        ("base64 twice", { Data($0.utf8).base64EncodedString() }, "it is base64 twice"),
    ]

    @Test(arguments: mangled.indices, ["privateKey", "tls.key", "tls.crt"])
    func aMangledTextIsToldBeforeRunTime(index: Int, key: String) throws {
        let (_, mangle, words) = Self.mangled[index]
        let folder = try TemporaryFolder()
        var texts: [String: String] = [:]
        let kind: String
        if key == "privateKey" {
            texts = ["privateKey": try privateKeyFile(folder), "knownHosts": "198.18.1.2 ssh-ed25519 \(Self.hostKey)"]
            kind = "vps-ssh"
        } else {
            (texts["tls.crt"], texts["tls.key"]) = try pair(folder)
            kind = "tls"
        }
        texts[key] = texts[key].map(mangle)
        let secret =
            [
                "apiVersion": "v1", "kind": "Secret", "metadata": ["name": kind], "stringData": texts,
            ] as [String: Any]
        let manifests = try folder.write("m/secret.json", Array(JSONSerialization.data(withJSONObject: secret)))
        try folder.write("m/node.yaml", Self.node)
        for arguments in [["validate", manifests, folder("m/node.yaml")], ["render", "--manifests", folder("m")]] {
            let (status, output) = try tidegate(arguments)
            #expect(status == 1 && output.contains(key) && output.contains(words), "\(arguments[0]): \(output)")
            #expect(!output.contains(String((texts[key] ?? "").dropFirst(80).prefix(40))), "the text itself is told")
        }
    }

    private static let hostKey = "AAAAC3NzaC1lZDI1NTE5AAAAIKQMDrqYPhtNmo+y4yCaNoix1E/ssJIp5IyIj48rev35"
    private static let node = """
        apiVersion: tunnel.achetronic.com/v1alpha1
        kind: EdgeNode
        metadata: {name: edge}
        spec:
          address: 198.18.1.2
          ssh: {secretRef: {name: vps-ssh}}
        """

    /// As it stands in a block of YAML, indented.
    private func privateKey(_ folder: TemporaryFolder) throws -> String {
        try privateKeyFile(folder).split(separator: "\n").joined(separator: "\n    ")
    }

    private func privateKeyFile(_ folder: TemporaryFolder) throws -> String {
        let path = "\(folder.path).key"
        defer { for file in [path, "\(path).pub"] { unlink(file) } }
        let made = try ProgramRun("/usr/bin/ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path])
        try #require(made.status == 0, "\(made.errors)")
        return try String(contentsOfFile: path, encoding: .utf8)
    }

    private func pair(_ folder: TemporaryFolder) throws -> (certificate: String, key: String) {
        let base = "\(folder.path).tls"
        defer { for suffix in ["crt", "key"] { unlink("\(base).\(suffix)") } }
        let made = try ProgramRun(
            "/usr/bin/openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                "/CN=test", "-keyout", "\(base).key", "-out", "\(base).crt",
            ])
        try #require(made.status == 0, "\(made.errors)")
        return (
            try String(contentsOfFile: "\(base).crt", encoding: .utf8), try String(contentsOfFile: "\(base).key", encoding: .utf8)
        )
    }

    private func tidegate(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let program = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "tidegate").path
        let run = try ProgramRun(program, arguments, mergesErrors: true)
        return (run.status, run.output)
    }
}

enum Corpus {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Corpus")
}
