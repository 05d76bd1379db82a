import Documents
import JSON
import NetworkTypes
import Testing

/// At the ends of every range of the definitions, Swift judges as they do.
@Suite struct RangesTests {
    private struct Probe {
        var full: FieldValue
        var path: String

        func takes(_ value: FieldValue) throws -> Bool {
            refusals(try #require(try withoutRivals(full, of: path).replacing(path[...], with: value), "no \(path)")) == []
        }
    }

    @Test(arguments: Definition.all)
    func numbers(plural: String) throws {
        let (definition, full) = try definitionAndFullObject(plural)
        var count = 0
        for (path, schema) in definition.fields
        where schema["type"]?.text == "integer" || schema["x-kubernetes-int-or-string"] != nil {
            let probe = Probe(full: full, path: path)
            let least = try #require(schema["minimum"]?.integer, "\(path) has no minimum")
            #expect(try probe.takes(.integer(least)), "\(path): \(least)")
            #expect(try !probe.takes(.integer(least - 1)), "\(path): \(least - 1)")
            count += 1
            guard let most = schema["maximum"]?.integer else {
                #expect(path.hasPrefix("status"), "\(path) has no maximum")
                continue
            }
            #expect(try probe.takes(.integer(most)), "\(path): \(most)")
            #expect(try !probe.takes(.integer(most + 1)), "\(path): \(most + 1)")
        }
        #expect(count >= 5)
    }

    @Test(arguments: Definition.all)
    func durations(plural: String) throws {
        let (definition, full) = try definitionAndFullObject(plural)
        var count = 0
        for (path, schema) in definition.fields {
            guard let rule = schema["x-kubernetes-validations"]?.items.first?["rule"]?.text, rule.contains("duration(self)")
            else { continue }
            let probe = Probe(full: full, path: path)
            let least = try GoDuration(parsing: quoted(after: ">= duration(", in: rule))
            let most = try GoDuration(parsing: quoted(after: "<= duration(", in: rule))
            let takesZero = rule.contains("== duration('0s')")
            func takes(_ nanoseconds: Int64) throws -> Bool {
                try probe.takes(.string(GoDuration(nanoseconds: nanoseconds).description))
            }
            #expect(try takes(least.nanoseconds), "\(path): \(least)")
            #expect(try takes(most.nanoseconds), "\(path): \(most)")
            #expect(try !takes(least.nanoseconds - 1), "\(path): under \(least)")
            #expect(try !takes(most.nanoseconds + 1), "\(path): over \(most)")
            #expect(try takes(0) == takesZero, "\(path): 0s")
            let message = try #require(schema["x-kubernetes-validations"]?.items.first?["message"]?.text)
            let range = try "from \(quoted(after: ">= duration(", in: rule)) to \(quoted(after: "<= duration(", in: rule))"
            #expect(message.contains(range), "\(path)")
            count += 1
        }
        #expect(count == [Definition.edgeNode: 4, Definition.portBinding: 3, Definition.remoteService: 0][plural])
    }

    private func quoted(after mark: String, in rule: String) throws -> String {
        let start = try #require(rule.firstRange(of: mark))
        return String(rule[start.upperBound...].dropFirst().prefix { $0 != "'" })
    }

    /// Forms of durations, against the expression that the rules use.
    @Test(arguments: [
        "30s", "1h30m", "500ms", "1.5s", ".5s", "1.s", "+1s", "-1s", "1us", "1µs", "1μs", "1ns", "0", "+0", "-0", "0s", "1m30",
        "", " 1s", "1s ", "1 s", "1d", "s", ".s", "1", "--1s", "1e3s", "١s", "1S",
    ])
    func durationsAreWrittenAlike(text: String) throws {
        let definition = try Definition(Definition.portBinding)
        let rule = try #require(
            definition.fields["spec.bindings[].tcp.idleTimeout"]?["x-kubernetes-validations"]?.items.first?["rule"]?.text)
        let pattern = try quoted(after: "self.matches(", in: rule)
        #expect(try matches(pattern, text) == (GoDuration(text) != nil))
    }

    /// Texts at the edges of all the patterns, in every field that has one.
    @Test(arguments: Definition.all)
    func patterns(plural: String) throws {
        let long = String(repeating: "a", count: 63)
        let texts = [
            "a", "0", "-", "a-", "-a", "a-b", "a.b", "a..b", ".a", "a.", "A", "a_b", "_a", "a$", "$", "a$b", "", " ", "a b", "é",
            "*.a", "*",
            "*.*.a", "a.*", "10.0.0.1", "1.2.3", "999.1.1.1", "*.1.2.3.4", "a/b", "K", long, "a\(long)", "\(long).\(long)",
            "a\(long).b",
            [long, long, long, String(long.dropLast(2))].joined(separator: "."), [long, long, long, long].joined(separator: "."),
            String(long.prefix(32)), String(long.prefix(33)),
        ]
        let (definition, full) = try definitionAndFullObject(plural)
        var count = 0
        for (path, schema) in definition.fields {
            guard let pattern = schema["pattern"]?.text else { continue }
            let probe = Probe(full: full, path: path)
            for text in texts {
                let fits = try matches(pattern, text) && text.unicodeScalars.count <= schema["maxLength"]?.integer ?? .max
                let excluded = try schema["not"]?["pattern"]?.text.map { try matches($0, text) } ?? false
                #expect(try probe.takes(.string(text)) == (fits && !excluded), "\(path): \"\(text)\"")
            }
            count += 1
        }
        #expect(count >= 4)
    }

    private func matches(_ pattern: String, _ text: String) throws -> Bool {
        text.firstMatch(of: try Regex(pattern).matchingSemantics(.unicodeScalar)) != nil
    }

    @Test func bindingsAreAsManyAsSwiftTakes() throws {
        let (definition, full) = try definitionAndFullObject(Definition.portBinding)
        let most = try #require(definition.fields["spec.bindings"]?["maxItems"]?.integer)
        let one = try #require(full.value(at: "spec.bindings[]"))
        let many = try (0...most).map { try #require(one.replacing("name", with: .string("b\($0)"))) }
        #expect(refusals(try #require(full.replacing("spec.bindings", with: .array(many.dropLast())))) == [])
        #expect(refusals(try #require(full.replacing("spec.bindings", with: .array(many)))).count == 1)
    }
}
