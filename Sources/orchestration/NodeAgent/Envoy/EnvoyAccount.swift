import Glibc
import NodeDocument

/// A user of ours and its group: Envoy's, the link program's, or the one that links by SSH log in as.
struct EnvoyAccount: Hashable, Sendable {
    var user: uid_t
    var group: gid_t
    var home: String

    /// Looks into /etc/passwd itself: the C library would load the host's name service modules, which fit the host's C library only.
    static func find(_ paths: HostPaths, named name: String = envoyUser) throws(AgentError) -> EnvoyAccount? {
        try readFile(paths.passwd, limit: 16 << 20).flatMap { find(inPasswd: $0, named: name) }
    }

    static func find(inPasswd bytes: [UInt8], named name: String = envoyUser) -> EnvoyAccount? {
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count >= 6, fields[0] == name, let user = uid_t(fields[2]), let group = gid_t(fields[3]) else {
                continue
            }
            return EnvoyAccount(user: user, group: group, home: String(fields[5]))
        }
        return nil
    }

    private static let noHome = "/nonexistent"

    /// Makes the user, without shell or password.
    /// - Parameter home: for one that logs in by a key; it is not made. Nil for one that does not.
    static func make(_ host: Host, named name: String = envoyUser, home: String? = nil) throws(AgentError) -> EnvoyAccount {
        // No password is not a locked account, which sshd turns away where it does without PAM (sshd(8), AUTHENTICATION).
        let unlocked = home == nil ? [] : ["--password", "*"]
        let useradd = Command(
            findProgram("useradd"),
            [
                "--system", "--user-group", "--no-create-home", "--home-dir", home ?? noHome, "--shell", "/usr/sbin/nologin",
            ] + unlocked + [name])
        let sysusers = Command(
            findProgram("systemd-sysusers"), ["--inline", "u \(name) - \"Tidegate\" \(home ?? noHome) -"])
        var complaints: [String] = []
        for command in [useradd, sysusers] {
            do throws(AgentError) {
                let result = try host.run(command)
                if let account = try find(host.paths, named: name) {
                    if home != nil { _ = try host.run(Command(findProgram("usermod"), unlocked + [name])) }
                    return account
                }
                complaints.append("\(command.program): \(result.complaint)")
            } catch {
                complaints.append(error.message)
            }
        }
        throw AgentError(
            .unsupportedHost,
            "the user \(name) could not be made; make it by hand as a system user with a group of its own. "
                + complaints.joined(separator: "; "))
    }

    static func remove(_ host: Host, named name: String = envoyUser) throws(AgentError) {
        let result = try host.run(Command(findProgram("userdel"), [name]))
        guard try find(host.paths, named: name) != nil else {
            // Most hosts remove the group with the user (USERGROUPS_ENAB of login.defs(5)); the others want it said.
            _ = try host.run(Command(findProgram("groupdel"), [name]))
            return
        }
        throw AgentError(.system, "removing the user \(name): \(result.complaint)")
    }
}
