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

    /// Reads the SSH Secret of an EdgeNode: `privateKey` (with `passphrase`), `password`, `knownHosts`, `sudoPassword`. A line end at the
    /// end of a password or passphrase is that of the file that the Secret was made from.
    /// - Parameter sendsPasswordsUnchecked: whether a password may go to a server whose host key nobody checks: it then goes to
    ///   whoever answers there.
    /// - Throws: `EnrollmentError` that names the Secret's key at fault.
    public init(spec: EdgeNodeSpec, secret: Secret, sendsPasswordsUnchecked: Bool = false) throws(EnrollmentError) {
        func fault(_ text: String) -> EnrollmentError {
            EnrollmentError(
                reason: .sshSecretInvalid, message: "Secret \(secret.metadata.objectName): \(text)", followUp: .waiting)
        }
        func value(_ key: String) -> SecretBytes? { secret.data[key].flatMap { $0.count > 0 ? $0 : nil } }

        func line(_ key: String) throws(EnrollmentError) -> SecretBytes? {
            guard let given = value(key) else { return nil }
            do {
                let line = try Self.withoutLineEnd(given)
                return line.count > 0 ? line : nil
            } catch {
                throw fault("\(key): \(error)")
            }
        }

        let password = try line("password")
        let passphrase = try line("passphrase")
        var privateKey: SSHPrivateKey?
        if let file = value("privateKey") {
            do {
                privateKey = try SSHPrivateKey(file: file, passphrase: passphrase)
            } catch {
                throw fault("privateKey: \(error)")
            }
        }
        guard privateKey != nil || password != nil else {
            for key in ["privateKey", "password"] where secret.data[key] != nil {
                throw fault(
                    "\(key) is empty; fill it in (to YAML an unquoted text that begins with # is a comment: put it in quotes)")
            }
            throw fault("it has neither privateKey nor password; add the key that the VPS accepts as privateKey")
        }
        do {
            credentials = try SSHCredentials(user: spec.ssh.user, privateKey: privateKey, password: password)
        } catch {
            throw fault("\(error)")
        }
        var sudoPassword: SecretBytes?
        if let line = value("sudoPassword") { sudoPassword = try Self.sudoPassword(line, fault) }
        if spec.ssh.insecureSkipHostKeyVerification, !sendsPasswordsUnchecked {
            let sent = password != nil ? "password" : sudoPassword != nil ? "sudoPassword" : nil
            if let sent {
                throw fault(
                    "its \(sent) would be sent to a server whose host key nobody has checked, as ssh.insecureSkipHostKeyVerification "
                        + "asks; give knownHosts and set that to false, log in with privateKey and without passwords, or start Tidegate with "
                        + Self.uncheckedPasswordsFlag)
            }
        }
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

    /// Of the programs that connect.
    public static let uncheckedPasswordsFlag = "--allow-passwords-without-host-key"

    /// Why the private key of an SSH Secret cannot be used, whatever the EdgeNode; nil for nothing.
    public static func keyProblem(of secret: Secret) -> String? {
        guard let file = secret.data["privateKey"], file.count > 0 else { return nil }
        do {
            let passphrase = try secret.data["passphrase"].map { try withoutLineEnd($0) }
            _ = try SSHPrivateKey(file: file, passphrase: passphrase)
            return nil
        } catch {
            return "privateKey: \(error)"
        }
    }

    private static func withoutLineEnd(_ value: SecretBytes) throws(SodiumError) -> SecretBytes {
        var bytes = value.withUnsafeBytes { Array($0) }
        defer { zero(&bytes) }
        if bytes.last == 0x0A {
            bytes.removeLast()
            if bytes.last == 0x0D { bytes.removeLast() }
        }
        return try SecretBytes(copying: bytes)
    }

    /// sudo reads one line of 255 bytes at most (SUDO_CONV_REPL_MAX of its older versions).
    private static func sudoPassword(
        _ value: SecretBytes, _ fault: (String) -> EnrollmentError
    ) throws(EnrollmentError) -> SecretBytes {
        let line: SecretBytes
        do {
            line = try withoutLineEnd(value)
        } catch {
            throw fault("sudoPassword: \(error)")
        }
        let fits = line.withUnsafeBytes { bytes in
            (1...255).contains(bytes.count) && !bytes.contains { $0 == 0 || $0 == 0x0A || $0 == 0x0D }
        }
        guard fits else { throw fault("sudoPassword: sudo takes one line of 1 to 255 bytes, which this is not") }
        return line
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
        let known: KnownHosts
        do {
            known = try KnownHosts(parsing: text)
        } catch {
            throw fault("knownHosts: \(error)")
        }
        guard !known.isEmpty else {
            let lines = known.ignoredLines.prefix(3).map { "line \($0.line): \($0.reason)" }.joined(separator: "; ")
            throw fault(
                "knownHosts holds no host key\(lines.isEmpty ? "" : " (\(lines))"); put the line there that "
                    + "ssh-keyscan -p \(spec.ssh.port) \(spec.address) prints, after comparing its fingerprint")
        }
        return .knownHosts(known)
    }
}
