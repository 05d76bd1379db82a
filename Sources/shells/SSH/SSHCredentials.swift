public import NetworkTypes
public import Sodium

/// Who logs in, and with what. What is there is tried in the order key, password; keyboard-interactive in the
/// place of a password that the server does not take.
public struct SSHCredentials: Sendable, CustomStringConvertible {
    public let user: String
    public let privateKey: SSHPrivateKey?
    /// Also the answer to every prompt of keyboard-interactive that does not echo.
    public let password: SecretBytes?

    /// - Throws: `InvalidValue` for a user name no server could know, and when neither key nor password is given.
    public init(user: String, privateKey: SSHPrivateKey?, password: SecretBytes? = nil) throws(InvalidValue) {
        // 255: what OpenSSH's packets and Linux's LOGIN_NAME_MAX (256 with the NUL) leave room for.
        guard (1...255).contains(user.utf8.count), user.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else {
            throw InvalidValue(
                expected: "SSH user", given: user, reason: "want 1 to 255 bytes without spaces or control characters")
        }
        guard privateKey != nil || password != nil else {
            throw InvalidValue(expected: "SSH login", given: user, reason: "want a private key or a password")
        }
        self.user = user
        self.privateKey = privateKey
        self.password = password
    }

    private init(user: String, password: SecretBytes?) {
        self.user = user
        privateKey = nil
        self.password = password
    }

    var withoutKey: SSHCredentials { SSHCredentials(user: user, password: password) }

    public var description: String { "\(user) with \(privateKey.map { _ in "a key" } ?? "no key")" }
}

/// How the server's host key is judged. No credential is offered before it is accepted.
public enum HostKeyPolicy: Sendable {
    /// Only a key the file vouches for.
    case knownHosts(KnownHosts)
    /// Any key: whoever sits on the path can take the place of the server.
    case insecureAcceptAny
}

/// How long a peer may take.
public struct SSHTimeouts: Equatable, Sendable {
    /// From looking the name up to being logged in.
    public var connect: Duration
    /// While a command runs: how long nothing at all may come from the peer, which is asked for a sign of life every
    /// `keepalive`. A command that is merely slow does not count as silence.
    public var idle: Duration
    /// Between two signs of life, also while no command runs. It is made to fit three times into `idle`, but not under
    /// 2 s: libssh2 counts in seconds and takes 1 s for 2 s.
    public var keepalive: Duration

    /// - Parameter connect: 30 s by default, as `spec.ssh.connectTimeout` of an EdgeNode.
    public init(connect: Duration = .seconds(30), idle: Duration = .seconds(60), keepalive: Duration = .seconds(15)) {
        self.connect = connect
        self.idle = idle
        self.keepalive = keepalive
    }

    var keepaliveSeconds: Int64 { max(2, min(keepalive.components.seconds, idle.components.seconds / 3)) }
}
