import Documents
import EdgeAPI
import Glibc
import JSON
import ManifestStore
import NetworkTypes
import TestFiles
import Testing

@Suite struct ManifestFolderTests {
    private let temporary: TemporaryFolder
    private var folder: ManifestFolder

    init() throws {
        temporary = try TemporaryFolder()
        folder = ManifestFolder(path: temporary.path, settleTime: .zero)
    }

    @Test mutating func readsEveryManifestFileInOrder() throws {
        try temporary.makeFolder("sub")
        try temporary.makeFolder(".git")
        try temporary.write("b.yaml", documents(edgeNodeText, secretText))
        try temporary.write("sub/c.yml", portBindingText("web"))
        try temporary.write(
            "a.json",
            #"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"clusterIP": "10.96.0.1"}}"#)
        for ignored in [".hidden.yaml", "b.yaml~", "notes.txt", ".git/x.yaml"] { try temporary.write(ignored, "}") }
        let snapshot = folder.load()
        #expect(snapshot.problems.map(\.description) == [])
        #expect(snapshot.edgeNodes.map(\.metadata.name) == ["edge"])
        #expect(snapshot.portBindings.map(\.metadata.name) == ["web"])
        #expect(snapshot.secrets.keys.map(\.description) == ["default/vps"])
        #expect(snapshot.services.keys.map(\.description) == ["default/s"])
        #expect(snapshot.isComplete)
        #expect(snapshot.settlesIn == nil)
    }

    @Test mutating func problemsNameFileLineAndField() throws {
        try temporary.write("web.yaml", portBindingText("web").replacing("listenPort: 80", with: "listenport: 80"))
        let snapshot = folder.load()
        #expect(
            snapshot.problems.map(\.description) == [
                "web.yaml:9: PortBinding default/web: spec.bindings[0].listenPort: is required: the public port on the VPS",
                "web.yaml:11: PortBinding default/web: spec.bindings[0].listenport: unknown field; did you mean \"listenPort\"?",
            ])
        #expect(snapshot.portBindings.isEmpty)
        #expect(!snapshot.isComplete)
    }

    @Test mutating func aBrokenFileKeepsItsLastGoodObjects() throws {
        try temporary.write("all.yaml", documents(edgeNodeText, portBindingText("web"), secretText))
        _ = folder.load()
        try temporary.write("all.yaml", documents(edgeNodeText, portBindingText("web", port: 70000), secretText))
        var snapshot = folder.load()
        #expect(snapshot.portBindings.map { $0.spec.bindings[0].listenPort.number } == [80])
        #expect(snapshot.edgeNodes.count == 1)
        #expect(snapshot.problems.map(\.severity) == [.warning, .error])
        #expect(!snapshot.isComplete)

        try temporary.write("all.yaml", "apiVersion: [")
        snapshot = folder.load()
        #expect(snapshot.edgeNodes.count == 1)
        #expect(snapshot.portBindings.count == 1)
        #expect(snapshot.secrets.count == 1)

        try temporary.write("all.yaml", documents(edgeNodeText, portBindingText("web", port: 81)))
        snapshot = folder.load()
        #expect(snapshot.portBindings.map { $0.spec.bindings[0].listenPort.number } == [81])
        #expect(snapshot.secrets.isEmpty)
        #expect(snapshot.problems.isEmpty)
        #expect(snapshot.isComplete)
    }

    @Test mutating func goodObjectsOfABrokenFileAreRenewed() throws {
        try temporary.write("all.yaml", documents(portBindingText("a", port: 1), portBindingText("b", port: 2)))
        _ = folder.load()
        try temporary.write("all.yaml", documents(portBindingText("a", port: 0), portBindingText("b", port: 3)))
        let snapshot = folder.load()
        #expect(snapshot.portBindings.map { $0.spec.bindings[0].listenPort.number } == [1, 3])
    }

    @Test mutating func objectsVanishWithTheirFile() throws {
        try temporary.write("edge.yaml", edgeNodeText)
        try temporary.write("web.yaml", portBindingText("web"))
        #expect(folder.load().edgeNodes.count == 1)
        try temporary.remove("edge.yaml")
        let snapshot = folder.load()
        #expect(snapshot.edgeNodes.isEmpty)
        #expect(snapshot.portBindings.count == 1)
        #expect(snapshot.isComplete)
    }

    @Test mutating func anEmptiedFileLosesNothing() throws {
        try temporary.write("edge.yaml", edgeNodeText)
        _ = folder.load()
        try temporary.write("edge.yaml", "")
        let snapshot = folder.load()
        #expect(snapshot.edgeNodes.count == 1)
        #expect(!snapshot.isComplete)
        #expect(snapshot.problems.contains { $0.message.contains("delete the file") })
        try temporary.write("edge.yaml", "# nothing here any more\n")
        #expect(folder.load().edgeNodes.isEmpty)
    }

    @Test mutating func theFolderGoneTakesNothingDown() throws {
        try temporary.makeFolder("manifests")
        try temporary.write("manifests/edge.yaml", edgeNodeText)
        folder = ManifestFolder(path: temporary("manifests"), settleTime: .zero)
        _ = folder.load()
        try #require(rename(temporary("manifests"), temporary("away")) == 0)
        let snapshot = folder.load()
        #expect(snapshot.edgeNodes.count == 1)
        #expect(!snapshot.isComplete)
        #expect(snapshot.problems.map(\.file) == [temporary("manifests")])
    }

    @Test mutating func theFileThatHadAnObjectFirstKeepsIt() throws {
        try temporary.write("b.yaml", portBindingText("web", port: 1))
        _ = folder.load()
        try temporary.write("a.yaml", "# a copy\n" + portBindingText("web", port: 2))
        let snapshot = folder.load()
        #expect(snapshot.portBindings.map { $0.spec.bindings[0].listenPort.number } == [1])
        #expect(
            snapshot.problems.map(\.description) == [
                "a.yaml:2: PortBinding default/web: is defined in b.yaml:1 too, which counts; remove one"
            ])
        try temporary.remove("b.yaml")
        #expect(folder.load().portBindings.map { $0.spec.bindings[0].listenPort.number } == [2])
    }

    @Test mutating func atFirstTheOlderFileKeeps() throws {
        try temporary.write("a.yaml", portBindingText("web", port: 1))
        try temporary.write("b.yaml", portBindingText("web", port: 2))
        var times = [timespec(tv_sec: 1_000_000, tv_nsec: 0), timespec(tv_sec: 1_000_000, tv_nsec: 0)]
        try #require(utimensat(AT_FDCWD, temporary("b.yaml"), &times, 0) == 0)
        #expect(folder.load().portBindings.map { $0.spec.bindings[0].listenPort.number } == [2])
    }

    @Test mutating func aFileBeingWrittenIsGivenTime() throws {
        folder = ManifestFolder(path: temporary.path, settleTime: .milliseconds(300))
        try temporary.write("all.yaml", documents(edgeNodeText, portBindingText("web")))
        _ = folder.load()
        try temporary.write("all.yaml", portBindingText("web"))
        var snapshot = folder.load()
        #expect(snapshot.edgeNodes.count == 1)
        #expect(snapshot.settlesIn == .milliseconds(300))
        #expect(!snapshot.isComplete)
        usleep(350_000)
        snapshot = folder.load()
        #expect(snapshot.edgeNodes.isEmpty)
        #expect(snapshot.settlesIn == nil)
        #expect(snapshot.isComplete)

        try temporary.remove("all.yaml")
        snapshot = folder.load()
        #expect(snapshot.portBindings.count == 1)
        #expect(snapshot.settlesIn != nil)
        usleep(350_000)
        #expect(folder.load().portBindings.isEmpty)
    }

    @Test mutating func changesAreSeenAndTheRestIsNotReadAgain() throws {
        try temporary.write("a.yaml", portBindingText("a", port: 1))
        #expect(folder.load().portBindings.map { $0.spec.bindings[0].listenPort.number } == [1])
        // Same size, same tick of the clock.
        try temporary.write("a.yaml", portBindingText("a", port: 2))
        #expect(folder.load().portBindings.map { $0.spec.bindings[0].listenPort.number } == [2])
    }

    @Test mutating func aConfigMapsLinksAreFollowed() throws {
        try temporary.makeFolder("..1")
        try temporary.write("..1/edge.yaml", edgeNodeText)
        try #require(symlink("..1", temporary("..data")) == 0)
        try #require(symlink("..data/edge.yaml", temporary("edge.yaml")) == 0)
        try #require(symlink("nowhere", temporary("broken.yaml")) == 0)
        try #require(mkfifo(temporary("fifo.yaml"), 0o600) == 0)
        let snapshot = folder.load()
        #expect(snapshot.edgeNodes.count == 1)
        #expect(snapshot.problems.isEmpty)
    }

    @Test mutating func readableSecretsAndForeignKindsAreWarnedOf() throws {
        try temporary.write("secret.yaml", secretText, mode: 0o644)
        try temporary.write("other.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n")
        let snapshot = folder.load()
        #expect(snapshot.problems.map(\.severity) == [.warning, .warning])
        #expect(snapshot.problems.map(\.file) == ["other.yaml", "secret.yaml"])
        #expect(snapshot.isComplete)
        #expect(snapshot.secrets.count == 1)
    }

    @Test func problemsOfAFileAreCounted() {
        let file = ManifestFile(bytes: Array(String(repeating: "a: 1\n---\n", count: 5000).utf8), name: "x.yaml")
        #expect((1000...1010).contains(file.problems.count))
    }

    @Test func oneFileCanBeValidated() throws {
        try temporary.write("x.yaml", documents("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}", secretText))
        let file = ManifestFile.read(temporary("x.yaml"))
        #expect(file.hasErrors)
        #expect(file.manifests.map(\.manifest.kind) == ["Secret"])
        #expect(file.problems.map(\.line) == [2])
        #expect(
            ManifestFile.read(temporary("missing.yaml")).problems.map(\.message) == ["cannot be read: No such file or directory"])
        #expect(ManifestFile.read(temporary.path).hasErrors)
        #expect(ManifestFile.read("a\0b").hasErrors)
    }
}
