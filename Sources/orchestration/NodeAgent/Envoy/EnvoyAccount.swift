import Glibc
import NodeDocument

/// Envoy's user and group.
struct EnvoyAccount: Hashable, Sendable {
    var user: uid_t
    var group: gid_t

    /// Looks into /etc/passwd itself: the C library would load the host's name service modules, which fit the host's C library only.
    static func find(_ paths: HostPaths) throws(AgentError) -> EnvoyAccount? {
        try readFile(paths.passwd, limit: 16 << 20).flatMap(find(inPasswd:))
    }

    static func find(inPasswd bytes: [UInt8]) -> EnvoyAccount? {
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            guard fields.count >= 4, fields[0] == envoyUser, let user = uid_t(fields[2]), let group = gid_t(fields[3]) else {
                continue
            }
            return EnvoyAccount(user: user, group: group)
        }
        return nil
    }

    /// Makes the user, without home, shell or password.
    static func make(_ host: Host) throws(AgentError) -> EnvoyAccount {
        let useradd = Command(
            findProgram("useradd"),
            [
                "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin",
                envoyUser,
            ])
        let sysusers = Command(
            findProgram("systemd-sysusers"), ["--inline", "u \(envoyUser) - \"Tidegate Envoy\" /nonexistent -"])
        var complaints: [String] = []
        for command in [useradd, sysusers] {
            do throws(AgentError) {
                let result = try host.run(command)
                if let account = try find(host.paths) { return account }
                complaints.append("\(command.program): \(result.complaint)")
            } catch {
                complaints.append(error.message)
            }
        }
        throw AgentError(
            .unsupportedHost,
            "the user \(envoyUser) could not be made; make it by hand as a system user with a group of its own. "
                + complaints.joined(separator: "; "))
    }

    static func remove(_ host: Host) throws(AgentError) {
        let result = try host.run(Command(findProgram("userdel"), [envoyUser]))
        guard try find(host.paths) != nil else {
            // Most hosts remove the group with the user (USERGROUPS_ENAB of login.defs(5)); the others want it said.
            _ = try host.run(Command(findProgram("groupdel"), [envoyUser]))
            return
        }
        throw AgentError(.system, "removing the user \(envoyUser): \(result.complaint)")
    }
}
