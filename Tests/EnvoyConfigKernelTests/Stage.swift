import EnvoyConfig
import Foundation
import NetworkTypes
import NodeDocument
import TestPrograms

@testable import NodeAgent

/// A temporary folder in which an Envoy runs: `config` is its working directory; gone with `remove()`.
struct Stage {
    let root: URL
    static let host = EnvoyHost(hasIPv6: true, memoryBytes: 2 << 30)

    init() throws {
        root = FileManager.default.temporaryDirectory.appending(path: "envoy-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
    }

    func remove() { try? FileManager.default.removeItem(at: root) }

    func write(_ configuration: EnvoyConfiguration, to folder: String, on host: EnvoyHost = Self.host) throws {
        for (path, contents) in try EnvoyFileSet(configuration, on: host).files {
            let url = root.appending(path: folder).appending(path: path)
            try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(contents).write(to: url)
        }
    }

    /// What `envoy --mode validate` says of `bootstrap`: nil for good.
    func refusal(of bootstrap: String) throws -> String? {
        let name = "validate-\(UUID().uuidString).json"
        let folder = root.appending(path: "config")
        try Data(bootstrap.utf8).write(to: folder.appending(path: name))
        let result = try ProgramRun(Envoy.path(), ["--mode", "validate", "-l", "error", "-c", name], in: folder.path())
        return result.status == 0 ? nil : result.errors + result.output
    }
}

enum Envoy {
    /// The agent, whose prober tells Envoy of its uplinks.
    static let agent = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "edge-agent")
        .path

    /// `TIDEGATE_ENVOY`, or the one that `Tests/Lab/setup` unpacked.
    static func path() throws -> String {
        if let path = ProcessInfo.processInfo.environment["TIDEGATE_ENVOY"] { return path }
        let environment = ProcessInfo.processInfo.environment["TIDEGATE_CACHE"]
        let top = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let folder = (environment.map { URL(filePath: $0) } ?? top.appending(path: ".cache")).appending(path: "envoy")
        let versions = try FileManager.default.contentsOfDirectory(atPath: folder.path())
        guard let newest = versions.max(by: { $0.compare($1, options: .numeric) == .orderedAscending }) else {
            throw Missing(what: "an Envoy in \(folder.path()): run Tests/Lab/setup, or set TIDEGATE_ENVOY")
        }
        return folder.appending(path: newest).appending(path: "envoy").path()
    }
}

struct Missing: Error, CustomStringConvertible {
    let what: String
    var description: String { "missing: \(what)" }
}
