import CLinuxHeaders
import Glibc
import Logging
import NetworkTypes
import NodeDocument
import Sodium
import Syscalls

/// The way of links through the host's own sshd, whose settings stay the user's: a user of ours whose keys may open one socket, where the
/// link program listens.
struct SSHDoor {
    let host: Host

    private var paths: HostPaths { host.paths }

    /// What is left to a key: to open that socket (sshd(8), AUTHORIZED_KEYS FILE FORMAT). No terminal, agent, X11 or own settings
    /// (`restrict`), and a program that does nothing for who asks for one. sshd holds a socket's path against `permitopen` as it does a
    /// host's name, which ends before a slash unless it stands in brackets; its port is none, so any. No address has a listener: there is no
    /// word for none, and 255.255.255.255:1 is nobody's.
    static func options(socket: String) -> String {
        #"restrict,port-forwarding,permitopen="[\#(socket)]:*",permitlisten="255.255.255.255:1",command="/bin/false""#
    }

    // MARK: opening

    /// Makes user, folders and keys what they should be, before the link program listens.
    /// - Parameter program: the link program's account.
    /// - Returns: what was changed, in words.
    func open(_ link: RelayLink, program: EnvoyAccount, _ state: inout StateFile) throws(AgentError) -> [String] {
        var changes: [String] = []
        let account: EnvoyAccount
        if let found = try EnvoyAccount.find(paths, named: SSHWay.user) {
            account = found
        } else {
            state.value.madeSSHUser = true
            try state.save()
            account = try EnvoyAccount.make(host, named: SSHWay.user, home: paths.sshHome)
            changes.append("the user \(SSHWay.user) made")
        }
        guard account.home == paths.sshHome else {
            throw AgentError(
                .unsupportedHost,
                "there is a user \(SSHWay.user) with another home, \(printable(account.home, limit: 100)); remove that user, and apply "
                    + "the EdgeNode again")
        }
        // Who may write here could let others in: root alone may (sshd_config(5), StrictModes).
        try makeFolder(paths.sshHome, Access(mode: 0o755, group: 0))
        try makeFolder(paths.sshSettings, Access(mode: 0o750, group: account.group))
        if try makeSocketFolder(owner: program.user, group: account.group) { changes.append("the folder for links by SSH made") }
        let former = (try? readFile(paths.sshKeys, limit: 1 << 20)) ?? nil
        if try ensureFile(paths.sshKeys, Self.keys(link, socket: paths.sshSocket), Access(mode: 0o640, group: account.group)) {
            changes.append("the keys for links by SSH written")
            // sshd asks for a key once, when somebody logs in.
            if let former, !Self.keyLines(former).isSubset(of: Self.keyLines(Self.keys(link, socket: paths.sshSocket))) {
                try endSessions(of: account.user)
            }
        }
        return changes
    }

    /// Where the link program makes its socket, which gets the folder's group: as its member sshd connects, and nobody else may enter.
    private func makeSocketFolder(owner: uid_t, group: gid_t) throws(AgentError) -> Bool {
        let path = folderPart(of: paths.sshSocket)
        var changed = try makeFolder(path, Access(mode: 0o2710, group: group))
        if let status = try statusOf(path), status.st_uid != owner {
            // Takes the bit that gives the group away.
            try checked("giving \(path) to user \(owner)") { lchown(path, owner, group) }
            try checked("setting the mode of \(path)") { chmod(path, 0o2710) }
            changed = true
        }
        return changed
    }

    static func keys(_ link: RelayLink, socket: String) -> [UInt8] {
        let options = options(socket: socket)
        let lines = link.uplinks.sorted { $0.ordinal < $1.ordinal }.compactMap { uplink in
            uplink.sshKey.map { "\(options) \($0) uplink-\(uplink.ordinal)\n" }
        }
        return Array("# Written by Tidegate's edge-agent, which puts changes back.\n\(lines.joined())".utf8)
    }

    private static func keyLines(_ file: [UInt8]) -> Set<Substring> {
        Set(String(decoding: file, as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("#") })
    }

    // MARK: sshd's settings

    /// Why sshd lets no link through, with what to do; nil where it does, and where its settings cannot be told.
    func obstacle() throws(AgentError) -> String? {
        let sshd = findProgram("sshd")
        // 192.0.2.1 (RFC 5737) stands for anybody: where uplinks come from is not known.
        let asked = Command(sshd, ["-T", "-C", "user=\(SSHWay.user),host=uplink.invalid,addr=192.0.2.1"], timeoutSeconds: 10)
        guard try statusOf(paths.root + sshd) != nil else {
            return "links by SSH want OpenSSH's server on the VPS, and there is no \(sshd); take another carrier"
        }
        let result = try host.run(asked)
        guard result.succeeded else {
            host.logger.warning(
                "sshd does not tell its settings", metadata: ["cause": "\(printable(result.complaint, limit: 300))"])
            return nil
        }
        return SSHDSettings(result.output).obstacle(user: SSHWay.user, home: paths.sshHome)
    }

    // MARK: closing

    /// Removes all of it; sessions that are there end.
    /// - Returns: what was changed, in words.
    func close(_ state: inout StateFile) throws(AgentError) -> [String] {
        var changes: [String] = []
        let account = try EnvoyAccount.find(paths, named: SSHWay.user)
        // Nobody logs in any more; then nobody is.
        if try removeTree(paths.sshHome) { changes.append("\(paths.sshHome) removed") }
        guard state.value.madeSSHUser else { return changes }
        if let account {
            try endSessions(of: account.user)
            try EnvoyAccount.remove(host, named: SSHWay.user)
            changes.append("the user \(SSHWay.user) removed")
        }
        state.value.madeSSHUser = false
        return changes
    }

    /// Ends the processes of that user, which are sshd's for its sessions; for two seconds at most.
    private func endSessions(of user: uid_t) throws(AgentError) {
        // Tests play users by their own, and root has what is none of ours.
        guard user != 0, user != getuid() else { return }
        let deadline = Deadline(milliseconds: 2000)
        while true {
            let left = try namesInFolder("\(paths.root)/proc").compactMap { pid_t($0) }.filter { Self.user(of: $0) == user }
            for process in left { kill(process, SIGKILL) }
            guard !left.isEmpty, deadline.remaining != nil else { return }
            usleep(20_000)
        }
    }

    /// The real user of a process (proc(5)); nil for one that is gone.
    private static func user(of process: pid_t) -> uid_t? {
        guard let status = try? readLine(of: "/proc/\(process)/status") else { return nil }
        return CallingConnection.field("Uid", of: status)?.split(separator: "\t").first.flatMap { uid_t($0) }
    }
}

/// What `sshd -T` says of one user (sshd_config(5)): a name in lower case and a value in each line.
struct SSHDSettings {
    private var values: [Substring: [Substring]] = [:]

    init(_ text: String) {
        for line in text.split(separator: "\n") {
            guard let space = line.firstIndex(of: " ") else { continue }
            values[line[..<space], default: []].append(line[line.index(after: space)...])
        }
    }

    private func value(_ name: Substring) -> Substring? { values[name]?.first }
    private func words(_ name: Substring) -> [Substring]? { values[name]?.flatMap { $0.split(separator: " ") } }

    /// Why that user's key opens no socket, with what to do; nil where it does. The user's group has its name.
    func obstacle(user: String, home: String) -> String? {
        func excluded(_ list: [Substring]?) -> Bool { list.map { !$0.contains { Self.matches($0, user) } } ?? false }
        func forbidden(_ list: [Substring]?) -> Bool {
            // What asks for an address too may not be this user's.
            list?.contains { !$0.contains("@") && Self.matches($0, user) } ?? false
        }
        let advice: String? =
            if value("pubkeyauthentication") == "no" {
                "takes no keys: set PubkeyAuthentication yes"
            } else if forbidden(words("denyusers")) {
                "shuts \(user) out: leave it out of DenyUsers"
            } else if excluded(words("allowusers")) {
                "lets in only whom AllowUsers names: add \(user) there"
            } else if forbidden(words("denygroups")) {
                "shuts the group \(user) out: leave it out of DenyGroups"
            } else if excluded(words("allowgroups")) {
                "lets in only the groups that AllowGroups names: add \(user) there"
            } else if value("disableforwarding") == "yes" {
                "forwards nothing: set DisableForwarding no"
            } else if let forwarding = value("allowstreamlocalforwarding"), !["yes", "all", "local"].contains(forwarding) {
                "forwards to no sockets: set AllowStreamLocalForwarding local"
            } else if let files = words("authorizedkeysfile"), !files.contains(where: { Self.isKeysFile($0, home) }) {
                "reads keys elsewhere: add .ssh/authorized_keys to AuthorizedKeysFile"
            } else if let methods = words("authenticationmethods"), !methods.contains("any"), !methods.contains("publickey") {
                "wants more than a key: set AuthenticationMethods publickey"
            } else if let algorithms = value("pubkeyacceptedalgorithms") ?? value("pubkeyacceptedkeytypes"),
                !algorithms.split(separator: ",").contains("ssh-ed25519")
            {
                "takes no Ed25519 keys: add ssh-ed25519 to PubkeyAcceptedAlgorithms"
            } else if let root = value("chrootdirectory"), root != "none" {
                "shuts the user into \(printable(String(root), limit: 100)): set ChrootDirectory none"
            } else {
                nil
            }
        return advice.map {
            "sshd of the VPS \($0) in sshd_config, for links by SSH (in a block \"Match User \(user)\", or for all), and reload it"
        }
    }

    private static func isKeysFile(_ file: Substring, _ home: String) -> Bool {
        let names = [".ssh/authorized_keys", "%h/.ssh/authorized_keys", "\(home)/.ssh/authorized_keys"]
        return names.contains(String(file))
    }

    /// Of the user's part of a pattern: `*` stands for any characters, `?` for one. A list says no by `!`.
    private static func matches(_ pattern: Substring, _ user: String) -> Bool {
        let glob = Array(pattern.prefix { $0 != "@" }.utf8)
        let text = Array(user.utf8)
        // By the lengths of the beginnings that match.
        var reached: Set<Int> = [0]
        for byte in glob {
            if byte == UInt8(ascii: "*") {
                guard let least = reached.min() else { return false }
                reached = Set(least...text.count)
            } else {
                reached = Set(
                    reached.filter { $0 < text.count && (byte == UInt8(ascii: "?") || text[$0] == byte) }.map { $0 + 1 })
            }
        }
        return reached.contains(text.count)
    }
}
