import Glibc
import KubernetesClient
import TestFiles
import Testing

/// An authority with the certificates that the tests need, made by openssl(1) once for all of them.
final class TestAuthority: Sendable {
    static let shared = Result { try TestAuthority() }

    struct Pair: Sendable {
        let certificate: String
        let key: String

        var client: ClusterAccess.ClientCertificate {
            ClusterAccess.ClientCertificate(chain: .file(certificate), key: .file(key))
        }
    }

    private let folder: TemporaryFolder
    let root: String
    /// An authority that signed nothing.
    let stranger: String
    /// For localhost, 127.0.0.1 and ::1.
    let server: Pair
    /// For api.test only.
    let named: Pair
    let expired: Pair
    let client: Pair

    private init() throws {
        TemporaryFolder.removeLeftovers()
        let folder = try TemporaryFolder()
        self.folder = folder
        // It is everybody's until the end.
        atexit { if case .success(let authority) = TestAuthority.shared { TemporaryFolder.removeAll(authority.folder.path) } }
        root = try Self.makeAuthority("root", in: folder)
        stranger = try Self.makeAuthority("stranger", in: folder)
        server = try Self.makePair("server", in: folder, names: "DNS:localhost,IP:127.0.0.1,IP:::1")
        named = try Self.makePair("named", in: folder, names: "DNS:api.test")
        expired = try Self.makePair("expired", in: folder, names: "DNS:localhost,IP:127.0.0.1", days: -1)
        client = try Self.makePair("client", in: folder, names: "DNS:client")
    }

    private static func makeAuthority(_ name: String, in folder: TemporaryFolder) throws -> String {
        try Program.run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=\(name)",
            "-days", "2", "-keyout", "\(folder.path)/\(name).key", "-out", "\(folder.path)/\(name).crt")
        return "\(folder.path)/\(name).crt"
    }

    private static func makePair(_ name: String, in folder: TemporaryFolder, names: String, days: Int = 2) throws -> Pair {
        let base = "\(folder.path)/\(name)"
        let extensions = try folder.write("\(name).ext", "subjectAltName=\(names)\nextendedKeyUsage=serverAuth,clientAuth\n")
        try Program.run(
            "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=\(name)",
            "-keyout", "\(base).key", "-out", "\(base).csr")
        try Program.run(
            "openssl", "x509", "-req", "-in", "\(base).csr", "-CA", "\(folder.path)/root.crt", "-CAkey",
            "\(folder.path)/root.key", "-days", "\(days)", "-extfile", extensions, "-out", "\(base).crt")
        return Pair(certificate: "\(base).crt", key: "\(base).key")
    }
}
