public import EdgeAPI
public import NetworkTypes
public import SSH
public import Sodium

/// Where a VPS is reached, and as whom; equal targets can share a connection.
public struct NodeTarget: Sendable {
    public var host: HostAddress
    public var port: Port
    public var credentials: SSHCredentials
    public var hostKeyPolicy: HostKeyPolicy
    public var timeouts: SSHTimeouts
    let login: NodeLogin
    /// Changes with anything above, and tells nothing of it: a digest of the Secret's bytes and the spec.
    public var fingerprint: SHA256Digest

    /// Reads the SSH Secret of an EdgeNode: `privateKey` (with `passphrase`), `password`, `knownHosts`, `sudoPassword`.
    /// - Throws: `EnrollmentError` that names the Secret's key at fault.
    public init(spec: EdgeNodeSpec, secret: Secret) throws(EnrollmentError) {
        func fault(_ text: String) -> EnrollmentError {
            EnrollmentError(
                reason: .sshSecretInvalid, message: "Secret \(secret.metadata.objectName): \(text)", followUp: .waiting)
        }
        func value(_ key: String) -> SecretBytes? { secret.data[key].flatMap { $0.count > 0 ? $0 : nil } }

        var privateKey: SSHPrivateKey?
        if let file = value("privateKey") {
            do {
                privateKey = try SSHPrivateKey(file: file, passphrase: value("passphrase"))
            } catch {
                throw fault("privateKey: \(error)")
            }
        }
        guard privateKey != nil || value("password") != nil else {
            throw fault("it has neither privateKey nor password; add the key that the VPS accepts as privateKey")
        }
        do {
            credentials = try SSHCredentials(user: spec.ssh.user, privateKey: privateKey, password: value("password"))
        } catch {
            throw fault("\(error)")
        }
        var sudoPassword: SecretBytes?
        if let line = value("sudoPassword") { sudoPassword = try Self.sudoPassword(line, fault) }
        login = NodeLogin(host: spec.address, user: spec.ssh.user, sudoPassword: sudoPassword)
        hostKeyPolicy = try Self.policy(spec: spec, knownHosts: value("knownHosts"), fault: fault)
        host = spec.address
        port = spec.ssh.port
        timeouts = SSHTimeouts(connect: spec.ssh.connectTimeout.duration)

        var digest = SHA256()
        digest.update(Array("\(spec.address) \(spec.ssh.port) \(spec.ssh.user) \(spec.ssh.insecureSkipHostKeyVerification)".utf8))
        for (key, bytes) in secret.data.sorted(by: { $0.key < $1.key }) {
            digest.update(Array("\n\(key) \(bytes.count)\n".utf8))
            bytes.withUnsafeBytes { digest.update($0) }
        }
        fingerprint = digest.finish()
    }

    /// sudo reads one line of 255 bytes at most (SUDO_CONV_REPL_MAX of its older versions). A line end at the end is that of the file
    /// that the Secret was made from.
    private static func sudoPassword(
        _ value: SecretBytes, _ fault: (String) -> EnrollmentError
    ) throws(EnrollmentError) -> SecretBytes {
        var bytes = value.withUnsafeBytes { Array($0) }
        defer { zero(&bytes) }
        if bytes.last == 0x0A { bytes.removeLast() }
        if bytes.last == 0x0D { bytes.removeLast() }
        guard (1...255).contains(bytes.count), !bytes.contains(where: { $0 == 0 || $0 == 0x0A || $0 == 0x0D }) else {
            throw fault("sudoPassword: sudo takes one line of 1 to 255 bytes, which this is not")
        }
        do {
            return try SecretBytes(copying: bytes)
        } catch {
            throw fault("sudoPassword: \(error)")
        }
    }

    private static func policy(
        spec: EdgeNodeSpec, knownHosts: SecretBytes?, fault: (String) -> EnrollmentError
    ) throws(EnrollmentError) -> HostKeyPolicy {
        if spec.ssh.insecureSkipHostKeyVerification { return .insecureAcceptAny }
        guard let knownHosts else {
            throw fault(
                "it has no knownHosts, so the VPS cannot be told from an impostor; add the output of "
                    + "ssh-keyscan -p \(spec.ssh.port) \(spec.address) after checking it, "
                    + "or set ssh.insecureSkipHostKeyVerification on the EdgeNode")
        }
        let text = knownHosts.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        do {
            return .knownHosts(try KnownHosts(parsing: text))
        } catch {
            throw fault("knownHosts: \(error)")
        }
    }
}
