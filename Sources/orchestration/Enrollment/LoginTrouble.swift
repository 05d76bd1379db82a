import NetworkTypes
import NodeDocument
import SSH

/// A login that does not run what it is asked to: why, by the host's own words, and what cures it.
struct LoginTrouble {
    let login: NodeLogin
    /// What the host said, safe to print.
    let words: String
    let ending: Ending

    enum Ending: Equatable {
        case status(Int32?)
        /// It waits for input, and for how long it was waited for.
        case waits(Duration)
    }

    init(login: NodeLogin, words: String, ending: Ending) {
        self.login = login
        self.words = words
        self.ending = ending
    }

    init(login: NodeLogin, result: ExecResult) {
        let lines = [result.standardOutput, result.standardError].flatMap {
            String(decoding: $0.prefix(2000), as: UTF8.self).split(whereSeparator: \.isNewline)
        }
        self.init(
            login: login, words: plainSentence(lines.prefix(4).joined(separator: "; "), limit: 300),
            ending: .status(result.status))
    }

    var error: EnrollmentError {
        let said = words.isEmpty ? "said nothing" : "said \"\(words)\""
        let end =
            switch ending {
            case .status(let status): "ended\(status.map { " with status \($0)" } ?? "")"
            case .waits(let time): "then waited for input, for \(time.components.seconds) s"
            }
        return EnrollmentError(
            reason: .loginUnusable,
            message:
                "\(login.host): the login of \(login.user) runs no command: it \(said) and \(end); nothing was sent; \(cure)",
            followUp: .refused)
    }

    private var cure: String {
        let user = login.user
        if let other = namedUser { return "log in as the user it names, by ssh.user: \(other)" }
        let said = words.lowercased()
        func says(_ parts: String...) -> Bool { parts.contains { said.contains($0) } }
        if says("password"), says("expired", "change your password", "password change", "must be changed") {
            return
                "the password of \(user) has expired: change it on the host (passwd \(user)), or end its expiry (chage -M -1 \(user))"
        }
        if says("not available", "nologin", "account is disabled", "account has been disabled", "no shell") {
            return "give \(user) a shell on the host (usermod --shell /bin/sh \(user)), or name another user in ssh.user"
        }
        if says("sftp") { return "\(user) may only use SFTP there (ForceCommand in sshd_config): name another user in ssh.user" }
        if case .waits = ending {
            return
                "a profile such as ~/.bashrc that starts another shell (exec zsh, exec fish) must do so only on a terminal: put "
                + "[ -t 0 ] && before it; or make that shell the account's own (chsh)"
        }
        return "look for a forced command (command= in authorized_keys, ForceCommand in sshd_config), for a profile that exits "
            + "(~/.bashrc, /etc/profile.d) and at the account's shell, or name another user in ssh.user"
    }

    /// The user that the host wants instead, as cloud images say: `Please login as the user "debian" rather than the user "root".`
    private var namedUser: String? {
        let tokens = words.split { " \t\"'`,.;:!()".contains($0) }.map(String.init)
        for index in tokens.indices {
            let before = tokens[..<index].suffix(4).map { $0.lowercased() }
            let isNamed =
                before.suffix(4) == ["login", "as", "the", "user"] || before.suffix(2) == ["login", "as"]
                || before.suffix(4) == ["in", "as", "the", "user"] || before.suffix(3) == ["log", "in", "as"]
                || before.last == "use" && tokens[(index + 1)...].first?.lowercased() == "instead"
            if isNamed, isPlain(tokens[index]), tokens[index] != login.user { return tokens[index] }
        }
        return nil
    }

    private func isPlain(_ name: String) -> Bool {
        (1...32).contains(name.utf8.count) && !["the", "a", "an", "your", "another", "user"].contains(name)
            && name.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D || $0 == 0x5F }
    }
}
