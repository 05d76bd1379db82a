import Documents
import EdgeAPI
import Testing

@Suite struct ManifestTests {
    private let service = "{'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 's'}, 'spec': {}}"

    private func decode(
        _ text: String, foreignKinds: FieldProblem.Severity = .warning
    ) throws -> (manifests: [PlacedManifest], lines: [String]) {
        let (manifests, problems) = Manifest.decode(try json(text), foreignKinds: foreignKinds)
        return (manifests, problems.map { "\($0.severity) \($0)" })
    }

    @Test func listsAreUnfolded() throws {
        let result = try decode("{'apiVersion': 'v1', 'kind': 'List', 'items': [\(service), \(service)]}")
        #expect(result.manifests.map(\.manifest.kind) == ["Service", "Service"])
        #expect(result.lines == [])
    }

    @Test func problemsInListsNameTheItem() throws {
        let result = try decode(
            "{'apiVersion': 'v1', 'kind': 'List', 'items': [\(service), {'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {}}]}")
        #expect(result.manifests.count == 1)
        #expect(result.lines == ["error line 1: Secret default/?: items[1].metadata.name: is required: the object's name"])
    }

    @Test func listsDoNotNest() throws {
        let inner = "{'apiVersion': 'v1', 'kind': 'List', 'items': []}"
        #expect(try decode("{'apiVersion': 'v1', 'kind': 'List', 'items': [\(inner)]}").lines.count == 1)
    }

    @Test func foreignKindsAreAsGraveAsTheCallerSays() throws {
        let foreign = "{'apiVersion': 'apps/v1', 'kind': 'Deployment', 'metadata': {'name': 'd'}}"
        #expect(
            try decode(foreign).lines == [
                "warning line 1: kind: apps/v1 Deployment is nothing Tidegate reads; it is passed over"
            ])
        #expect(try decode(foreign, foreignKinds: .error).lines.first?.hasPrefix("error") == true)
    }

    @Test(arguments: [
        ("tunnel.achetronic.com/v1alpha1", "EdgNode", "kind: unknown kind \"EdgNode\"; did you mean EdgeNode?"),
        (
            "tunnel.achetronic.com/v1alpha1", "Zebra",
            "kind: unknown kind \"Zebra\"; the kinds are EdgeNode, PortBinding and RemoteService"
        ),
        ("tunnel.achetronic.com/v2", "EdgeNode", "apiVersion: EdgeNode is known as tunnel.achetronic.com/v1alpha1, given"),
        ("v2", "Secret", "apiVersion: Secret is known as v1, given \"v2\""),
    ])
    func misnamedKindsAreErrors(version: String, kind: String, expected: String) throws {
        let result = try decode("{'apiVersion': '\(version)', 'kind': '\(kind)', 'metadata': {'name': 'x'}}")
        #expect(result.manifests.isEmpty)
        #expect(result.lines.count == 1)
        #expect(result.lines[0].hasPrefix("error line 1: \(expected)"))
    }

    @Test func aForgottenGroupIsHinted() throws {
        let result = try decode("{'apiVersion': 'v1', 'kind': 'PortBinding', 'metadata': {'name': 'x'}}")
        #expect(result.lines.count == 1)
        #expect(result.lines[0].contains("it is \"apiVersion: tunnel.achetronic.com/v1alpha1\" and \"kind: PortBinding\""))
    }

    @Test func whatIsNoManifest() throws {
        #expect(try decode("null").lines == [])
        #expect(try decode("[]").lines.count == 1)
        #expect(try decode("{}").lines.count == 2)
        #expect(try decode("'text'").lines.count == 1)
    }

    @Test func problemsAreCounted() throws {
        let fields = (0..<500).map { "'unknown\($0)': 1" }.joined(separator: ", ")
        let result = try decode("{'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': 's'}, \(fields)}")
        #expect(result.lines.count == 101)
        #expect(result.lines.last?.contains("there is more") == true)
    }

    @Test func fieldsWrittenTwiceAreToldOnce() throws {
        let result = try decode(
            "{'apiVersion': 'v1', 'kind': 'Secret', 'kind': 'Secret', 'metadata': {'name': 's', 'name': 't'}}")
        #expect(
            result.lines == [
                "error line 1: Secret default/t: kind: is written more than once; keep one of them",
                "error line 1: Secret default/t: metadata.name: is written more than once; keep one of them",
            ])
    }
}
