import NetworkTypes
import SSH
import Sodium

/// As whom a host is entered, as far as becoming root there goes.
struct NodeLogin: Sendable {
    let host: HostAddress
    let user: String
    /// Nil when the Secret has none.
    let sudoPassword: SecretBytes?

    var isRoot: Bool { user == "root" }
    /// A line of sudoers.
    var sudoRule: String { "\(sudoersUser) ALL=(ALL) NOPASSWD: ALL" }
    /// sudoers(5) wants a backslash before these ("Other special characters and reserved words").
    var sudoersUser: String { user.map { $0 == "\\" || $0 == "@" ? "\\\($0)" : "\($0)" }.joined() }
}

/// How a login comes to run commands as root. None is taken before the host was asked on the same connection.
enum Elevation: Sendable {
    case none
    case sudo
    /// sudo asks for this.
    case sudoWithPassword(SecretBytes)

    /// `command` as root.
    func command(_ command: RemoteCommand) -> RemoteCommand {
        switch self {
        case .none: command
        case .sudo: ("exec sudo -n -- /bin/sh -c" as RemoteCommand).passing(command)
        case .sudoWithPassword: ("exec sudo -k -S -p '' -- /bin/sh -c" as RemoteCommand).passing(Self.skipPassword + command)
        }
    }

    /// What `command` reads, after what sudo reads.
    func input(_ input: ByteSource) -> ByteSource {
        guard case .sudoWithPassword(let password) = self else { return input }
        return .secret(password) + .bytes(Self.afterPassword) + input
    }

    /// Whether it was sudo that did not let the command begin.
    func isRefused(_ answer: ShellAnswer) -> Bool {
        if case .none = self { return false }
        return answer.result.status == 1 && !answer.hasBegun
            && String(decoding: answer.standardError, as: UTF8.self).contains("sudo: ")
    }

    /// - Throws: `EnrollmentError` where sudo took the command's input away with the password, as sudo-rs 0.2.5 does, which reads ahead.
    func check(_ answer: ShellAnswer, login: NodeLogin) throws(EnrollmentError) {
        guard case .sudoWithPassword = self, answer.result.status == Self.inputIsGone, !answer.hasBegun else { return }
        throw EnrollmentError(
            reason: .sudoRefused,
            message:
                "\(login.host): sudo takes more off its input than the line with the password, as sudo-rs does: add the line "
                + "'\(login.sudoRule)' to sudoers, so that it asks for none",
            followUp: .refused)
    }

    /// sudo takes its one line off the input byte by byte (tgetpass.c), and so does `read`. A sudo that did not ask leaves the
    /// password there: whatever stands before the mark is dropped, so that it never becomes part of a document.
    private static let skipPassword: RemoteCommand = """
        line=; while [ "$line" != tidegate-input ]; do IFS= read -r line || exit 67; done; unset line

        """
    private static let inputIsGone: Int32 = 67
    /// sudo tries three times (passwd_tries): where the password is wrong meanwhile it meets this, not the document.
    private static let afterPassword = Array("\ntidegate-wait\ntidegate-input\n".utf8)
}

/// The question to a host whose login is not root's, and its answers.
enum ElevationProbe {
    /// Answers one word; what sudo says is on standard error. Its input is the password as a line, or nothing.
    ///
    /// sudo's `-k` leaves cached credentials out of account, with which the answer would hold for some minutes only.
    static let command: RemoteCommand = """
        export LC_ALL=C
        [ "$(id -u)" != 0 ] || { echo root; exit 0; }
        command -v sudo >/dev/null || { echo missing; exit 0; }
        ! sudo -k -n -- /bin/sh -c : </dev/null >/dev/null 2>&1 || { echo free; exit 0; }
        ! sudo -k -S -p '' -- /bin/sh -c : >/dev/null || { echo password; exit 0; }
        echo refused
        """

    static func input(_ password: SecretBytes?) -> ByteSource { password.map { .secret($0) + .bytes([0x0A]) } ?? .empty }

    /// - Throws: `EnrollmentError` that says what to change.
    static func elevation(_ answer: ShellAnswer, login: NodeLogin) throws(EnrollmentError) -> Elevation {
        let words = lastWords(answer.standardError)
        func fault(_ reason: EnrollmentError.Reason, _ text: String) -> EnrollmentError {
            EnrollmentError(reason: reason, message: "\(login.host): \(text)", followUp: .refused)
        }
        let user = login.user
        let rule = login.sudoRule
        let lines = String(decoding: answer.output.suffix(2000), as: UTF8.self).split(whereSeparator: \.isNewline)
        switch lines.last {
        case "root": return .none
        case "free": return .sudo
        case "password":
            if let password = login.sudoPassword { return .sudoWithPassword(password) }
            // Where an empty password will do.
            return .sudo
        case "missing":
            throw fault(.sudoRefused, "the SSH user \(user) is not root, and the host has no sudo: install it, or log in as root")
        case "refused":
            if words.contains("must have a tty") {
                throw fault(
                    .sudoRefused,
                    "sudo runs nothing without a terminal: add the line 'Defaults:\(login.sudoersUser) !requiretty' to sudoers (\(words))"
                )
            }
            if login.sudoPassword == nil {
                throw fault(
                    .sudoPasswordMissing,
                    "sudo asks \(user) for a password: add it as sudoPassword to the SSH Secret, or add the line '\(rule)' to sudoers "
                        + "(\(words))")
            }
            if words.contains("incorrect password") || words.contains("Sorry, try again")
                || words.contains("incorrect authentication")
            {
                throw fault(
                    .sudoPasswordWrong, "sudo did not take the sudoPassword of the SSH Secret for \(user): correct it (\(words))")
            }
            throw fault(.sudoRefused, "sudo lets \(user) run nothing as root: add the line '\(rule)' to sudoers (\(words))")
        default:
            throw fault(
                .agentFailed, "the question whether \(user) may become root \(answer.ending)\(words.isEmpty ? "" : ": \(words)")")
        }
    }

    /// sudo ends with what counts; a lecture may stand before.
    private static func lastWords(_ bytes: [UInt8]) -> String {
        let lines = String(decoding: bytes.suffix(2000), as: UTF8.self).split(whereSeparator: \.isNewline)
        return printable(lines.suffix(3).joined(separator: "; "), limit: 300)
    }
}
