import Glibc
import Syscalls

extension WireGuardGo {
    /// A wireguard-go of this host.
    public struct Program: Hashable, Sendable {
        /// Absolute; what is started.
        public var path: String
        /// What comes before wireguard-go's own arguments, where `path` is a loader.
        public var arguments: [String]

        public init(_ path: String, _ arguments: [String] = []) {
            self.path = path
            self.arguments = arguments
        }

        /// Takes the place of this process, which keeps its environment.
        /// - Returns: only when that failed: the errno.
        public func replaceProcess(_ arguments: [String]) -> Int32 {
            // What this process ignores its successor would too.
            for number in [SIGPIPE, SIGHUP] { signal(number, SIG_DFL) }
            return Syscalls.replaceProcess(path, [path] + self.arguments + arguments).code
        }
    }

    /// The wireguard-go beside this program, and the first in the folders of `path`, as execvp(3) finds it; each only where it is.
    public static func programs(path: String) -> [Program] {
        let beside = (try? ownFolder()).flatMap { findProgram("wireguard-go", in: [$0]) }
        let found = findProgram("wireguard-go", in: path.split(separator: ":").map(String.init))
        return [beside, found == beside ? nil : found].compactMap { $0.map { Program($0) } }
    }

    /// How long a program may take to say its version.
    private static let patienceForVersion = Duration.seconds(2)

    /// The newest of the programs by what each says of its version; of equals the first. One that does not run or tells none is
    /// taken only where there is no other. A single one is not asked.
    /// - Returns: nil for none.
    public static func newest(of programs: [Program]) -> Program? {
        guard programs.count > 1 else { return programs.first }
        var best: (program: Program, version: [Int])?
        for program in programs {
            let ending = (try? run(program, ["--version"], patience: patienceForVersion)) ?? nil
            guard let ending, ending.status == 0, let version = version(in: ending.output) else { continue }
            if best.map({ $0.version.lexicographicallyPrecedes(version) }) ?? true { best = (program, version) }
        }
        return best?.program ?? programs.first
    }

    /// The figures of `wireguard-go v0.0.20250522`, as the first line of `--version` has them (`printUsage` of its main.go).
    /// - Returns: nil for another line.
    static func version(in output: String) -> [Int]? {
        let words = output.prefix { $0 != "\n" }.split(separator: " ")
        guard words.count == 2, words[0] == "wireguard-go", words[1].first == "v" else { return nil }
        let figures = words[1].dropFirst().split(separator: ".", omittingEmptySubsequences: false).map { Int($0) }
        let known = figures.compactMap { $0 }
        return known.count == figures.count ? known : nil
    }
}
