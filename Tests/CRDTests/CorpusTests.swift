import Documents
import EdgeAPI
import Fixtures
import JSON
import ManifestStore
import NetworkTypes
import Planning
import Testing

/// Manifests that the API server and Swift must judge alike; Tests/Lab/kube_tests/test_crds.py holds the definitions against the
/// same files.
@Suite struct CorpusTests {
    private static let files = Definition.all

    @Test(arguments: files)
    func swiftJudgesAsTheApiServerDoes(file: String) throws {
        let corpus = try #require(try readFile("Tests/CRDTests/Corpus/\(file).yaml").first)
        let base = try #require(corpus["base"])
        let cases = try #require(corpus["cases"]?.items)
        #expect(cases.count > 50)
        for entry in cases {
            var object = base
            for (path, value) in entry["set"]?.entries ?? [:] {
                object = try object.setting(path.split(separator: ".")[...], to: value)
            }
            let name = entry["case"]?.text ?? "?"
            if entry["planned"] == .bool(true) {
                // Each field is right by itself; the plan says that together they are not.
                let node = try #require(EdgeNode.decode(FieldNode(value: object)).value)
                #expect(makePlan(try planInput(node, [])).nodeProblems.count == 1, "\(name)")
            } else if entry["refused"] == nil {
                #expect(refusals(object) == [], "\(name)")
            } else {
                #expect(refusals(object) != [], "\(name)")
            }
        }
    }

    /// The one thing that Swift refuses and the definition lets through: comparing n names with each other costs the API server
    /// more than it allows a rule.
    @Test func namesThatDifferOnlyInCaseAreLeftToSwift() throws {
        let full = try #require(
            try fullPortBinding().replacing("spec.bindings[].tls.hostnames", with: .array([.string("a.b"), .string("A.b")])))
        #expect(refusals(full).count == 1)
        let schema = try Definition(Definition.portBinding).fields["spec.bindings[].tls.hostnames"]
        #expect(schema?["x-kubernetes-list-type"]?.text == "set")
    }

    @Test func everyFieldIsDescribed() throws {
        for plural in Definition.all {
            for (path, schema) in try Definition(plural).everything where path != ".metadata" {
                // What a list of texts or a map holds is told at the list or map.
                if schema["type"]?.text == "string" && path.hasSuffix("]") || path.hasSuffix("}") { continue }
                let description = try #require(schema["description"]?.text, "\(path) has no description")
                #expect(description.hasSuffix("."), "\(path)")
            }
        }
    }

    /// Of each rule the message says what to do, and every list and text that a rule may read is bounded.
    @Test func rulesHaveMessagesAndBounds() throws {
        for plural in Definition.all {
            let definition = try Definition(plural)
            var count = 0
            for (path, schema) in definition.everything {
                for rule in schema["x-kubernetes-validations"]?.items ?? [] {
                    let message = try #require(rule["message"]?.text, "\(path)")
                    #expect(!message.isEmpty && !message.contains("\n"), "\(path)")
                    count += 1
                }
                if schema["x-kubernetes-validations"] != nil {
                    if schema["type"]?.text == "string" { #expect(schema["maxLength"] != nil, "\(path)") }
                    if schema["additionalProperties"] != nil { #expect(schema["maxProperties"] != nil, "\(path)") }
                }
                let below = definition.everything.filter { $0.path.hasPrefix("\(path)[]") }
                if schema["type"]?.text == "array", below.contains(where: { $0.schema["x-kubernetes-validations"] != nil }) {
                    #expect(schema["maxItems"] != nil, "\(path)")
                }
            }
            #expect(count >= (plural == Definition.remoteService ? 6 : 10))
        }
    }
}
