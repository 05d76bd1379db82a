import NetworkTypes
import Testing

@testable import Enrollment
@testable import SSH

/// What is told of a login that runs no command, by what hosts really say.
@Suite struct LoginTroubleTests {
    private func message(_ words: String, _ ending: LoginTrouble.Ending = .status(1), user: String = "root") throws -> String {
        let login = NodeLogin(host: try HostAddress(parsing: "203.0.113.10"), user: user, sudoPassword: nil)
        let error = LoginTrouble(login: login, words: words, ending: ending).error
        #expect(error.reason == .loginUnusable && error.followUp == .refused)
        #expect(error.message.contains(words) && error.message.contains("nothing was sent"))
        return error.message
    }

    @Test func namesTheCure() throws {
        let cases: [(said: String, cure: String)] = [
            ("Please login as the user \"debian\" rather than the user \"root\".", "by ssh.user: debian"),
            ("Please login as the user \"NONE\" rather than the user \"root\".", "forced command"),
            ("Please login as the ubuntu user rather than root user.", "forced command"),
            ("Log in as 'admin' please", "by ssh.user: admin"),
            ("This account is closed; use debian instead.", "by ssh.user: debian"),
            ("This account is currently not available.", "usermod --shell /bin/sh root"),
            ("Password change required but no TTY available.", "passwd root"),
            ("WARNING: Your password has expired.", "chage -M -1 root"),
            ("This service allows sftp connections only.", "only use SFTP"),
            ("", "forced command"),
        ]
        for one in cases {
            let told = try message(one.said)
            #expect(told.contains(one.cure), "\(told)")
        }
    }

    @Test func aShellThatWaitsIsToldAsThat() throws {
        let text = try message("Welcome", .waits(.seconds(30)))
        #expect(text.contains("then waited for input, for 30 s"))
        #expect(text.contains("exec zsh"))
        #expect(text.hasPrefix("203.0.113.10: the login of root runs no command: it said \"Welcome\""))
    }

    @Test func theHostsWordsSteerNoTerminal() throws {
        let login = NodeLogin(host: try HostAddress(parsing: "203.0.113.10"), user: "root", sudoPassword: nil)
        let result = ExecResult(
            status: 0, signal: nil, standardOutput: Array("a\u{1B}[2J\nb\n".utf8) + [0xFF], standardError: Array("c".utf8),
            inputBytesSent: 0)
        let text = LoginTrouble(login: login, result: result).error.message
        #expect(text.contains("said \"a\\u{1b}[2J; b; \u{FFFD}; c\" and ended with status 0"))
    }
}
