import Glibc
import LinkCarriers
import NetworkTypes
import NodeDocument
import Sodium
import Syscalls
import TestFiles
import TestLinks

@testable import NodeAgent

/// A real sshd on loopback with users, keys and settings of its own; nothing of the machine's is changed. Uplinks log in there as on a VPS:
/// with the agent's user, folders and options of keys.
final class LoginServer: Sendable {
    static let user = SSHWay.user
    /// Nobody's, on any host.
    static let number: uid_t = 64_711

    let folder: TemporaryFolder
    let port: UInt16
    let keys: [LinkPrivateKey]
    private let process: Int32

    /// - Parameters:
    ///   - configuration: lines for sshd_config, which come before those everybody gets: sshd takes the first.
    ///   - others: public keys that are let in as an uplink's are.
    init(_ configuration: String = "", keys: [LinkPrivateKey], folder: TemporaryFolder, others: [SSHPublicKey] = []) throws {
        self.folder = folder
        self.keys = keys
        // Whoever logs in passes through it.
        chmod(folder.path, 0o711)
        for (name, mode) in [("home", 0o755), ("home/.ssh", 0o750), ("home/link", 0o2710)] as [(String, mode_t)] {
            mkdir(folder(name), mode)
            chown(folder(name), 0, name == "home" ? 0 : Self.number)
            chmod(folder(name), mode)
        }
        let uplinks = (keys.map(\.sshPublicKey) + others).enumerated().map { ordinal, key in
            LinkedUplink(
                ordinal: ordinal, address: LinkedUplink.address(ofOrdinal: ordinal), pin: SHA256.digest(of: "\(ordinal)"),
                sshKey: key)
        }
        let link = RelayLink(carriers: [.ssh], listenPort: .defaultLink, hostname: "x", path: "/x", uplinks: uplinks)
        try folder.write("home/.ssh/authorized_keys", SSHDoor.keys(link, socket: folder("home/link/door.sock")), mode: 0o640)
        chown(folder("home/.ssh/authorized_keys"), 0, Self.number)
        _ = try Self.run("/usr/bin/ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", folder("host")])
        port = try Socket.listening().port
        let lines = [
            configuration, "Port \(port)", "ListenAddress 127.0.0.1", "HostKey \(folder("host"))", "UsePAM no", "PidFile none",
            "LogLevel VERBOSE", "UseDNS no",
        ]
        try folder.write("sshd_config", lines.joined(separator: "\n") + "\n")
        try folder.write(
            "passwd",
            "root:x:0:0:root:/root:/bin/sh\nsshd:x:103:65534::/run/sshd:/usr/sbin/nologin\n"
                + "\(Self.user):x:\(Self.number):\(Self.number)::\(folder("home")):/usr/sbin/nologin\n", mode: 0o644)
        try folder.write("group", "root:x:0:\n\(Self.user):x:\(Self.number):\n", mode: 0o644)
        try folder.write("shadow", "root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n\(Self.user):*:19000::::::\n")
        // In a mount namespace of its own, from which no mount gets out.
        try folder.write(
            "start.sh",
            """
            set -e
            mount --make-rprivate /
            mount -t tmpfs tmpfs /run
            mkdir /run/sshd
            for name in passwd group shadow; do mount --bind "$1/$name" "/etc/$name"; done
            exec /usr/sbin/sshd -D -e -f "$1/sshd_config"
            """)
        let log = try Descriptor("open") { [folder] in open(folder("log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600) }
        var sshd = Spawn(
            "/usr/bin/unshare", ["--mount", "/bin/sh", folder("start.sh"), folder.path], environment: ["PATH=/usr/sbin:/usr/bin"])
        (sshd.output, sshd.errors) = (log, log)
        process = try sshd.start()
        for _ in 0..<500 where !self.log.contains("Server listening") { usleep(20_000) }
        guard self.log.contains("Server listening") else { throw RigError(what: "no sshd: \(self.log)") }
    }

    deinit {
        endSessions()
        kill(process, SIGKILL)
        _ = try? waitForEnd(of: process)
    }

    var socket: String { folder("home/link/door.sock") }
    var log: String { folder.read("log") ?? "" }

    /// As OpenSSH writes it: type and base64.
    var hostKey: String { get throws { try Self.publicKey(folder("host.pub")) } }

    static func publicKey(_ file: String) throws -> String {
        let words = TemporaryFolder.read(from: file)?.split { $0 == " " || $0 == "\n" } ?? []
        guard words.count >= 2 else { throw RigError(what: "no key in \(file)") }
        return "\(words[0]) \(words[1])"
    }

    /// As `ssh-keygen` prints it.
    func fingerprint() throws -> Substring {
        let words = try Self.run("/usr/bin/ssh-keygen", ["-l", "-f", folder("host.pub")]).split(separator: " ")
        return words.count > 1 ? words[1] : ""
    }

    func carrier(
        key: LinkPrivateKey? = nil, hostKey: String? = nil, port: UInt16? = nil, socket: String? = nil
    ) throws -> LinkCarrier {
        let edge = SSHEdge(
            host: try HostAddress(parsing: "127.0.0.1"), port: try Port(port ?? self.port), user: Self.user,
            socket: socket ?? self.socket, hostKey: try hostKey ?? self.hostKey, key: key ?? keys[0])
        guard let edge else { throw RigError(what: "no way by sshd") }
        return .ssh(edge)
    }

    /// Ends what holds connections.
    func endSessions() {
        // All are found first: the children of one that has ended are nobody's.
        var found: [Int32] = []
        var waiting = [process]
        while let parent = waiting.popLast() {
            let text = TemporaryFolder.read(from: "/proc/\(parent)/task/\(parent)/children") ?? ""
            let children = text.split(separator: " ").compactMap { Int32($0) }
            waiting += children
            found += children
        }
        for child in found { kill(child, SIGKILL) }
    }

    static func run(_ program: String, _ arguments: [String]) throws -> String {
        let spawn = Spawn(program, arguments, environment: ["PATH=/usr/sbin:/usr/bin"])
        let finished = try spawn.run(.apart, limit: 1 << 20, until: .now + .seconds(20))
        guard let finished, finished.ending.status == 0 else {
            throw RigError(what: "\(program): \(String(describing: finished))")
        }
        return String(decoding: finished.output, as: UTF8.self)
    }
}
