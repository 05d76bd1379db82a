import Glibc
import NodeDocument

/// A user of ours and its group: Envoy's, or the link program's.
struct EnvoyAccount: Hashable, Sendable {
    var user: uid_t
    var group: gid_t

    /// Looks into /etc/passwd itself: the C library would load the host's name service modules, which fit the host's C library only.
    static func find(_ paths: HostPaths, named name: String = envoyUser) throws(AgentError) -> EnvoyAccount? {
        try readFile(paths.passwd, limit: 16 << 20).flatMap { find(inPasswd: $0, named: name) }
    }

    static func find(inPasswd bytes: [UInt8], named name: String = envoyUser) -> EnvoyAccount? {
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count >= 4, fields[0] == name, let user = uid_t(fields[2]), let group = gid_t(fields[3]) else {
                continue
            }
            return EnvoyAccount(user: user, group: group)
        }
        return nil
    }

    /// Makes the user, without home, shell or password.
    static func make(_ host: Host, named name: String = envoyUser) throws(AgentError) -> EnvoyAccount {
        let useradd = Command(
            findProgram("useradd"),
            [
                "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin",
                name,
            ])
        let sysusers = Command(
            findProgram("systemd-sysusers"), ["--inline", "u \(name) - \"Tidegate\" /nonexistent -"])
        var complaints: [String] = []
        for command in [useradd, sysusers] {
            do throws(AgentError) {
                let result = try host.run(command)
                if let account = try find(host.paths, named: name) { return account }
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
