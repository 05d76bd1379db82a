import ArgumentParser
import Glibc
import StructuredLogging

@main
struct Tidegate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tidegate",
        abstract: "Puts services of a private network on the public IP of a VPS.",
        discussion: "LOG_FORMAT (json or text) and LOG_LEVEL (debug, info, warn or error) rule the log on standard error.",
        version: tidegateVersion,
        subcommands: subcommands)

    private static var subcommands: [any ParsableCommand.Type] {
        let common: [any ParsableCommand.Type] = [
            StandaloneCommand.self, StatusCommand.self, JoinCommand.self, RenderCommand.self, ValidateCommand.self,
        ]
        #if Kubernetes
        return [ControllerCommand.self] + common + [SSHTunnelCommand.self]
        #else
        return common
        #endif
    }

    static func main() async {
        // By the name of interLink's program, a link to this one takes its place.
        let isTunnel = CommandLine.arguments.first?.split(separator: "/").last == "ssh-tunnel"
        let name = isTunnel ? ["ssh-tunnel", "--reverse"] : []
        await main(name + withBooleansWritten(Array(CommandLine.arguments.dropFirst())))
    }

    /// Go's flag package takes a boolean flag alone for true, and `--leader-elect=false`; so do the manifests people have.
    static func withBooleansWritten(_ arguments: [String]) -> [String] {
        let booleans: Set = ["--leader-elect", "--metrics-secure", "--enable-http2"]
        return arguments.map { booleans.contains($0) ? "\($0)=true" : $0 }
    }
}

/// Until there are releases: the agent's build tells more.
let tidegateVersion = "0.1.0"

/// What the user sees of a failure, without the framing of a usage error.
struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

func readEnvironment() -> [String: String] {
    var result: [String: String] = [:]
    var entry = environ
    while let pointer = entry.pointee {
        let pair = String(cString: pointer).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        if pair.count == 2 { result[String(pair[0])] = String(pair[1]) }
        entry += 1
    }
    return result
}
