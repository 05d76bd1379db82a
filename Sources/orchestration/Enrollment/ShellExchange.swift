import NetworkTypes
import SSH

/// One command on a host, in a form that login shells of every kind take (POSIX, csh, fish), and its answer apart from what else the
/// login prints.
///
/// The login shell is only asked to become `/bin/sh`, by one line without a quotation mark, exclamation mark or backslash inside. That
/// answers a mark, and takes a script from its standard input; the script puts marks around what the command prints. A login that
/// reads our input by itself (a profile that ends in `exec zsh`, say) finds as first line one by which every shell ends.
struct ShellExchange {
    private let nonce = Nonce()
    private let elevation: Elevation
    private let script: RemoteCommand

    /// - Parameter command: for `/bin/sh`, as root where `elevation` makes it.
    init(_ command: RemoteCommand, elevation: Elevation) {
        self.elevation = elevation
        let framed: RemoteCommand =
            "echo tidegate-begin " + RemoteCommand(nonce) + "\n(\n" + command + "\n)\necho tidegate-end " + RemoteCommand(nonce)
            + " $?\n"
        script = elevation.command(framed)
    }

    /// What the login shell is given. A script that the input was cut short of is not run.
    var login: RemoteCommand {
        "exec /bin/sh -c 'echo tidegate-shell " + RemoteCommand(nonce)
            + """
            ; s=; n="$(echo; echo x)"; n="${n%x}"; IFS= read -r l; while IFS= read -r l; do case $l in \
            tidegate-run) eval "$s"; exit;; esac; s=$s$l$n; done; exit 69'
            """
    }

    /// All that is sent: the script, what becoming root takes, and what the command reads.
    func input(_ input: ByteSource) -> ByteSource {
        .bytes(Array("exit 97\n\(script)\ntidegate-run\n".utf8)) + elevation.input(input)
    }

    /// Before it nothing may be sent to a login that is not known yet.
    func ready(within patience: Duration) -> ReadyMark { ReadyMark(text: shellMark, within: patience) }

    private var shellMark: String { "tidegate-shell \(nonce)" }

    /// The answer in what came back.
    func answer(_ result: ExecResult) -> ShellAnswer {
        var answer = ShellAnswer(result: result)
        let all = result.standardOutput[...]
        guard let shell = all.range(of: shellMark.utf8) else { return answer }
        answer.hasShell = true
        guard let begin = all[shell.upperBound...].range(of: "tidegate-begin \(nonce)".utf8) else { return answer }
        answer.hasBegun = true
        let rest = all[begin.upperBound...].drop { $0 == 0x0D || $0 == 0x0A }
        guard let end = rest.range(of: "tidegate-end \(nonce) ".utf8) else {
            answer.output = rest
            return answer
        }
        answer.output = rest[..<end.lowerBound]
        let digits = rest[end.upperBound...].prefix { (0x30...0x39).contains($0) }.prefix(3)
        answer.status = Int32(String(decoding: digits, as: UTF8.self))
        return answer
    }
}

/// What a host answered.
struct ShellAnswer {
    let result: ExecResult
    /// `/bin/sh` ran what we asked.
    var hasShell = false
    /// The command was begun, as root where that was wanted.
    var hasBegun = false
    /// The command's own, by the mark after it; above 128 by a signal, as shells tell. Nil where it did not come to an end.
    var status: Int32?
    /// What the command printed, and whatever else the login printed meanwhile.
    var output: ArraySlice<UInt8> = []

    init(result: ExecResult) { self.result = result }

    /// Whether `word` is a line of what it printed.
    func isLine(_ word: String) -> Bool {
        var isThere = false
        output.forEachLine { if $0.elementsEqual(word.utf8) { isThere = true } }
        return isThere
    }

    var standardError: [UInt8] { result.standardError }

    /// The last line that may be a report; all of it where there is none.
    var report: ArraySlice<UInt8> {
        var last: ArraySlice<UInt8>?
        output.forEachLine { if $0.first == UInt8(ascii: "{") { last = $0 } }
        return last ?? output
    }

    /// How it ended, in words.
    var ending: String {
        if let status {
            return status > 128 ? "was killed by signal \(status - 128)" : "ended with status \(status)"
        }
        if let signal = result.signal { return "was killed by SIG\(signal)" }
        return "was cut off (status \(result.status ?? -1))"
    }
}
