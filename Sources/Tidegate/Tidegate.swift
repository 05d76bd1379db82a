import ArgumentParser
import Glibc
import StructuredLogging

@main
struct Tidegate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tidegate",
        abstract: "Puts services of a private network on the public IP of a VPS.",
        discussion: "LOG_FORMAT (json or text) and LOG_LEVEL (debug, info, warn or error) rule the log on standard error.",
        subcommands: [StandaloneCommand.self, StatusCommand.self, RenderCommand.self, ValidateCommand.self])
}

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
