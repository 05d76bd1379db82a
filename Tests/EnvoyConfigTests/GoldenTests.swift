import Foundation
import NodeDocument
import Testing

/// `Goldens/NAME.jsonc` holds the configuration for each mode, with comments on lines of their own.
@Suite struct GoldenTests {
    @Test(arguments: ["relay", "tcp", "proxy-protocol", "udp", "tls-alone", "tls-by-name"])
    func modeIsWrittenAsItsGolden(_ name: String) throws {
        let document = try #require(try Example.documents()[name])
        let url = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Goldens/\(name).jsonc")
        let rendered = Self.text(of: document, name)
        if ProcessInfo.processInfo.environment["TIDEGATE_PRINT_GOLDENS"] != nil { print("GOLDEN \(name) \(rendered)") }
        #expect(Self.compact(try String(contentsOf: url, encoding: .utf8)) == rendered)
    }

    /// What a golden shows, on a host with IPv6: all but the bridge and the bootstrap, which `relay` alone shows.
    static func text(of document: EnvoyDocument, _ name: String) -> String {
        func list(_ values: [String]) -> String { "[\(values.joined(separator: ","))]" }
        var parts: [String] = []
        if name == "relay" {
            parts.append("\"bootstrap\":\(document.bootstrap)")
            parts.append("\"bridge\":\(document.listeners.map(\.json).first ?? "")")
        } else {
            parts.append("\"listeners\":\(list(document.listeners.dropFirst().map { $0.dualStackJSON ?? $0.json }))")
            parts.append("\"clusters\":\(list(document.clusters.map(\.json)))")
            parts.append("\"probes\":\((document.probes?.text ?? "").dropLast())")
            parts.append("\"secrets\":\(list(document.secrets.map(\.json)))")
            parts.append("\"tlsFiles\":\(list(document.tlsFiles.map { "\"\($0.name)\"" }))")
        }
        return "{\(parts.joined(separator: ","))}"
    }

    /// JSON without comment lines, and without white space outside strings.
    static func compact(_ text: String) -> String {
        let lines = text.split(separator: "\n").filter { !$0.drop { $0 == " " }.hasPrefix("//") }
        var result = ""
        var isInString = false
        var isEscaped = false
        for character in lines.joined() {
            if !isInString, character == " " { continue }
            if character == "\"", !isEscaped { isInString.toggle() }
            isEscaped = character == "\\" && !isEscaped
            result.append(character)
        }
        return result
    }
}
