import ArgumentParser
import Glibc
import Mesh
import Syscalls

/// Not for people: what a command within a mesh is started by. `UplinkCommand.main` runs it before there is a second thread, which namespaces of
/// mounts and users do not allow.
struct WithinCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: InnerCommand.subcommand, shouldDisplay: false)

    @Option var resolvConf: String?
    @Option var mounts: String?
    @Option var user: UInt32?
    @Option var group: UInt32?
    @Argument(parsing: .postTerminator) var words: [String]

    func run() throws {
        let failure = InnerCommand.enter(words, resolver: resolvConf, mounts: mounts, user: user, group: group)
        try Descriptor(borrowing: STDERR_FILENO).writeAll(Array("uplink: \(words[0]) cannot be run: \(failure)\n".utf8))
        // As shells say it (POSIX, 2.8.2).
        throw ExitCode(failure.isMissing ? 127 : 126)
    }
}
