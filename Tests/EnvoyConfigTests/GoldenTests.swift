import EnvoyConfig
import Foundation
import JSON
import NodeDocument
import Testing

/// `Goldens/NAME.jsonc` holds the configuration for each mode, with comments on lines of their own.
@Suite struct GoldenTests {
    @Test(arguments: ["relay", "tcp", "proxy-protocol", "udp", "tls-alone", "tls-by-name", "links", "links-own-certificate"])
    func modeIsWrittenAsItsGolden(_ name: String) throws {
        let configuration = try #require(try Example.configurations()[name])
        let url = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Goldens/\(name).jsonc")
        let rendered = Self.text(of: configuration, name)
        if ProcessInfo.processInfo.environment["TIDEGATE_PRINT_GOLDENS"] != nil { print("GOLDEN \(name) \(rendered)") }
        #expect(Self.compact(try String(contentsOf: url, encoding: .utf8)) == rendered)
    }

    /// What a golden shows, on a host with IPv6: all but the bridge and the bootstrap, which `relay` alone shows.
    static func text(of configuration: EnvoyConfiguration, _ name: String) -> String {
        func list(_ values: [String]) -> String { "[\(values.joined(separator: ","))]" }
        // The address, which `EnvoyFilesTests` looks at, stands in none of them.
        func text(_ listener: EnvoyListener) -> String {
            guard case .object(let members) = configuration.resource(listener, on: EnvoyHost(hasIPv6: true, memoryBytes: 1))
            else {
                return ""
            }
            return FieldValue.object(FieldMembers(members.filter { $0.key != "address" })).json
        }
        var parts: [String] = []
        if name == "relay" {
            parts.append("\"bootstrap\":\(configuration.bootstrap(on: nil).json)")
            parts.append("\"bridge\":\(configuration.listeners.map(text).first ?? "")")
        } else {
            let secrets = configuration.secrets
            let clusters =
                configuration.bindings.map { configuration.cluster($0, isCapped: false).json }
                + configuration.linkClusters.map(\.json)
            parts.append("\"listeners\":\(list(configuration.listeners.dropFirst().map(text)))")
            parts.append("\"clusters\":\(list(clusters))")
            parts.append("\"probes\":\(configuration.probes.text.dropLast())")
            parts.append("\"secrets\":\(list(secrets.map(\.resource.json)))")
            parts.append("\"tlsFiles\":\(list(secrets.flatMap(\.files).map(\.name).sorted().map { "\"\($0)\"" }))")
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
