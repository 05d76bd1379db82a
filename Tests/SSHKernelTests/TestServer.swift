import Foundation
import Glibc
import NetworkTypes
import Sodium
import Syscalls

@testable import SSH

/// A real sshd in a namespace of its own, with its own keys, configuration, /etc/passwd, /etc/shadow, PAM rules and /run; nothing of
/// the machine's is changed. The login is root with the key of the file `user`, or `password`.
final class TestServer: Sendable {
    static let password = "correct horse battery"

    let namespace: Namespace
    let folder: String
    let port: NetworkTypes.Port
    private let process: Spawned

    /// - Parameter configuration: lines for sshd_config, which come before those everybody gets: sshd takes the first.
    /// - Parameter hostKeys: the types to make.
    init(_ configuration: String = "", hostKeys: [String] = ["ed25519"], port: Int = 2222) throws {
        namespace = try Namespace()
        self.port = try NetworkTypes.Port(port)
        let folder = NSTemporaryDirectory() + namespace.name
        self.folder = folder
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        var lines = [configuration]
        for type in hostKeys {
            try run("/usr/bin/ssh-keygen", ["-q", "-t", type, "-N", "", "-f", "\(folder)/host_\(type)"])
            lines.append("HostKey \(folder)/host_\(type)")
        }
        try run("/usr/bin/ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", folder + "/user"])
        lines += [
            "Port \(port)", "ListenAddress 127.0.0.1", "AuthorizedKeysFile \(folder)/authorized_keys", "StrictModes no",
            "PermitRootLogin yes", "UsePAM no", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
            "PidFile none", "LogLevel VERBOSE", "UseDNS no", "PrintMotd no",
        ]
        func write(_ text: String, to name: String) throws {
            try text.write(toFile: folder + "/" + name, atomically: false, encoding: .utf8)
        }
        try write(lines.joined(separator: "\n") + "\n", to: "sshd_config")
        try write(String(contentsOfFile: folder + "/user.pub", encoding: .utf8), to: "authorized_keys")
        let hash = try run("/usr/bin/openssl", ["passwd", "-6", Self.password]).split(separator: "\n").joined()
        try write("root:\(hash):19000:0:99999:7:::\nsshd:!:19000::::::\n", to: "shadow")
        // With a home and a shell of its own: what root's own profile does here is nobody's business.
        try write("root:x:0:0:root:\(folder):/bin/sh\nsshd:x:103:65534::/run/sshd:/usr/sbin/nologin\n", to: "passwd")
        try write("auth required pam_unix.so\naccount required pam_permit.so\nsession required pam_permit.so\n", to: "pam")
        // `ip netns exec` gives a mount namespace of its own, from which no mount gets out.
        try write(
            """
            set -e
            mount -t tmpfs tmpfs /run
            mkdir /run/sshd
            mount --bind "$1/shadow" /etc/shadow
            mount --bind "$1/passwd" /etc/passwd
            mount --bind "$1/pam" /etc/pam.d/sshd
            exec /usr/sbin/sshd -D -e -f "$1/sshd_config"
            """, to: "start.sh")

        let log = open(folder + "/log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        defer { close(log) }
        process = try Spawned(
            "/usr/sbin/ip", ["netns", "exec", namespace.name, "/bin/sh", folder + "/start.sh", folder], output: log)
        Leftovers.add(namespace.name + "/server") { [process] in
            for child in Self.children(of: process.pid) { kill(child, SIGKILL) }
            kill(process.pid, SIGTERM)
            process.wait()
            try? FileManager.default.removeItem(atPath: folder)
        }
        for _ in 0..<500 where !self.log.contains("Server listening") { usleep(20000) }
        guard self.log.contains("Server listening") else {
            throw CommandFailed(program: "sshd", arguments: [], output: self.log)
        }
    }

    deinit { Leftovers.undo(namespace.name + "/server") }

    var log: String { (try? String(contentsOfFile: folder + "/log", encoding: .utf8)) ?? "" }

    /// How many lines of the log hold `words`.
    func logged(_ words: String) -> Int { log.split(whereSeparator: \.isNewline).count { $0.contains(words) } }

    /// The sshd processes that each hold one connection.
    var children: [pid_t] { Self.children(of: process.pid) }

    private static func children(of parent: pid_t) -> [pid_t] {
        let text = (try? String(contentsOfFile: "/proc/\(parent)/task/\(parent)/children", encoding: .utf8)) ?? ""
        return text.split(separator: " ").compactMap { pid_t($0) }
    }

    /// Sends a signal to what holds the connections and to all that runs under it.
    func signalChildren(_ signal: Int32) {
        var waiting = children
        while let next = waiting.popLast() {
            waiting += Self.children(of: next)
            kill(next, signal)
        }
    }

    /// The line that pins a host key of this server.
    func knownHosts(_ type: String = "ed25519", host: String = "127.0.0.1") throws -> KnownHosts {
        let key = try String(contentsOfFile: "\(folder)/host_\(type).pub", encoding: .utf8)
        return try KnownHosts(parsing: "[\(host)]:\(port) \(key)")
    }

    func secret(_ name: String) throws -> SecretBytes {
        try SecretBytes(copying: [UInt8](Data(contentsOf: URL(fileURLWithPath: folder + "/" + name))))
    }

    func credentials() throws -> SSHCredentials {
        try SSHCredentials(user: "root", privateKey: SSHPrivateKey(file: secret("user")))
    }

    /// Makes another key pair and lets it log in.
    func userKey(_ name: String, type: String, options: [String] = [], passphrase: String = "") throws -> SSHPrivateKey {
        let file = folder + "/" + name
        try run("/usr/bin/ssh-keygen", ["-q", "-t", type, "-N", passphrase, "-f", file] + options)
        let handle = FileHandle(forWritingAtPath: folder + "/authorized_keys")
        try handle?.seekToEnd()
        try handle?.write(contentsOf: Data(contentsOf: URL(fileURLWithPath: file + ".pub")))
        try handle?.close()
        return try SSHPrivateKey(
            file: secret(name), passphrase: passphrase.isEmpty ? nil : SecretBytes(copying: Array(passphrase.utf8)))
    }

    /// The server lives at least as long as the connection, whose thread holds it.
    func connect(
        host: String = "127.0.0.1", credentials: SSHCredentials? = nil, policy: HostKeyPolicy? = nil,
        timeouts: SSHTimeouts = SSHTimeouts(connect: .seconds(20))
    ) async throws -> SSHConnection {
        try await SSHConnection.connect(
            to: HostAddress(parsing: host), port: port, credentials: credentials ?? self.credentials(),
            hostKeyPolicy: policy ?? .knownHosts(knownHosts(host: host)), timeouts: timeouts,
            socket: { (family) throws(SystemFailure) in try self.namespace.socket(family) })
    }

    /// Connects expecting to fail.
    func refusal(
        credentials: SSHCredentials? = nil, policy: HostKeyPolicy? = nil, timeouts: SSHTimeouts = SSHTimeouts()
    ) async throws -> SSHError {
        do {
            let connection = try await connect(credentials: credentials, policy: policy, timeouts: timeouts)
            await connection.close()
        } catch let error as SSHError {
            return error
        }
        throw CommandFailed(program: "connect", arguments: [], output: "it connected")
    }
}
