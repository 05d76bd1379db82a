import EnvoyConfig
import Foundation
import NetworkTypes
import NodeDocument
import TestPrograms

/// A play of `Driver/scenarios.py`: what it saw, by name.
struct Scenario {
    private let facts: [String: Any]

    /// - Parameter folders: configurations to be put in place during the play, by folder; `config` is what Envoy starts with.
    init(_ name: String, _ folders: [String: EnvoyConfiguration], settings: [String: Any] = [:], stage: Stage) throws {
        for (folder, configuration) in folders { try stage.write(configuration, to: folder) }
        if let first = folders["config"] { try stage.write(first, to: "config-0") }
        var settings = settings
        if settings["uplinks"] == nil { settings["uplinks"] = Sample.uplinks.prefix(2).map(\.address.description) }
        if settings["backends"] == nil { settings["backends"] = ["tcp": [], "udp": [], "tls": [:]] }
        try JSONSerialization.data(withJSONObject: settings).write(to: stage.root.appending(path: "settings.json"))
        let driver = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Driver/scenarios.py")
        let result = try ProgramRun(
            "/usr/bin/timeout",
            ["--kill-after=5", "60", "/usr/bin/python3", driver.path(), name, stage.root.path(), Envoy.path(), Envoy.agent]
        )
        guard result.status == 0,
            let facts = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
        else { throw Failure(text: "\(name): status \(result.status), \(result.output)\(result.errors)") }
        self.facts = facts
    }

    struct Failure: Error, CustomStringConvertible {
        let text: String
        var description: String { text }
    }

    /// The fact as JSON text, keys sorted, for comparison in one look.
    subscript(_ name: String) -> String {
        guard let fact = facts[name],
            let data = try? JSONSerialization.data(
                withJSONObject: fact, options: [.sortedKeys, .fragmentsAllowed, .withoutEscapingSlashes])
        else { return "no such fact" }
        return String(decoding: data, as: UTF8.self)
    }
}
