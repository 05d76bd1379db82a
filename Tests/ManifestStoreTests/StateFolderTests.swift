import EdgeAPI
import Glibc
import ManifestStore
import NetworkTypes
import Sodium
import TestFiles
import Testing

@Suite struct StateFolderTests {
    private let temporary: TemporaryFolder
    private let path: String
    private let node = ObjectName(namespace: "default", name: "edge")

    init() throws {
        temporary = try TemporaryFolder()
        path = temporary("a/state")
    }

    /// What opening or asking throws.
    private func error(_ body: () throws -> Void) -> StateError? {
        #expect(throws: StateError.self) { try body() }
    }

    @Test func onlyItsOwnerMayLookInside() throws {
        let state = try StateFolder(path: path + "/")
        _ = try state.installationID()
        try state.writeUplinkDocument([0x7B, 0x7D], of: node)
        #expect(temporary.mode("a/state") == 0o700)
        #expect(temporary.mode("a/state/installation") == 0o600)
        #expect(temporary.mode("a/state/uplinks/default-edge/config") == 0o700)
        #expect(temporary.mode("a/state/uplinks/default-edge/config/document.json") == 0o600)
        #expect(temporary.names("a/state/uplinks/default-edge/config") == ["document.json"])
    }

    @Test func oneControllerAtATime() throws {
        let first = try StateFolder(path: path)
        #expect(error { _ = try StateFolder(path: path) }?.kind == .inUse)
        withExtendedLifetime(first) {}
    }

    @Test func theLockGoesWithItsOwner() throws {
        _ = try StateFolder(path: path).installationID()
        _ = try StateFolder(path: path).installationID()
    }

    @Test func aFolderOfOtherFilesIsRefusedAndLeftAlone() throws {
        try temporary.makeFolder("home")
        try temporary.write("home/photo.jpg", "x")
        try #require(chmod(temporary("home"), 0o755) == 0)
        #expect(error { _ = try StateFolder(path: temporary("home")) }?.message.contains("other files") == true)
        #expect(temporary.mode("home") == 0o755)
        #expect(error { _ = try StateFolder(path: temporary("home/photo.jpg")) } != nil)
        #expect(error { _ = try StateFolder(path: "a\0b") } != nil)
    }

    @Test func theInstallationKeepsItsName() throws {
        let id = try StateFolder(path: path).installationID()
        #expect(id.count == 32)
        #expect(try StateFolder(path: path).installationID() == id)
        #expect(try StateFolder(path: temporary("other")).installationID() != id)
    }

    @Test func epochsRiseAcrossRuns() throws {
        #expect(try StateFolder(path: path).nextEpoch() == 1)
        let state = try StateFolder(path: path)
        #expect(try state.nextEpoch() == 2)
        #expect(temporary.read("a/state/epoch") == "2\n")
        #expect(try state.nextEpoch() == 3)
    }

    @Test(arguments: [("epoch", "x\n"), ("epoch", ""), ("epoch", "-1\n"), ("epoch", "18446744073709551615\n")])
    func aCorruptedEpochIsNeverOverwritten(file: String, contents: String) throws {
        let state = try StateFolder(path: path)
        try temporary.write("a/state/\(file)", contents)
        let failure = error { _ = try state.nextEpoch() }
        #expect(failure?.kind == .corrupted)
        #expect(failure?.description.contains("/a/state/epoch") == true)
        #expect(temporary.read("a/state/\(file)") == contents)
    }

    @Test func aCorruptedInstallationIsNeverOverwritten() throws {
        let state = try StateFolder(path: path)
        try temporary.write("a/state/installation", "abc\n")
        #expect(error { _ = try state.installationID() }?.kind == .corrupted)
        #expect(temporary.read("a/state/installation") == "abc\n")
    }

    @Test func enrolledNodesOutliveTheController() throws {
        let decoded = ManifestFile(bytes: Array(documents(edgeNodeText, secretText).utf8), name: "x.yaml")
        guard case .edgeNode(let edgeNode)? = decoded.manifests.first?.manifest,
            case .secret(let secret)? = decoded.manifests.last?.manifest
        else {
            Issue.record("\(decoded.problems)")
            return
        }
        var other = edgeNode
        other.metadata.namespace = "b"
        try StateFolder(path: path).saveEnrolled(EnrolledNode(edgeNode: other, secret: nil))
        try StateFolder(path: path).saveEnrolled(EnrolledNode(edgeNode: edgeNode, secret: secret))
        let state = try StateFolder(path: path)
        #expect(
            try state.enrolledNodes() == [
                EnrolledNode(edgeNode: other, secret: nil), EnrolledNode(edgeNode: edgeNode, secret: secret),
            ])
        #expect(temporary.mode("a/state/enrolled/default/edge.json") == 0o600)
        try state.removeEnrolled(other.metadata.objectName)
        try state.removeEnrolled(other.metadata.objectName)
        #expect(try state.enrolledNodes().map(\.edgeNode) == [edgeNode])
    }

    @Test(arguments: ["", "{", "[]", "{}", #"{"edgeNode": {"metadata": {"name": "edge"}}}"#])
    func aCorruptedRecordIsNamed(contents: String) throws {
        let state = try StateFolder(path: path)
        try temporary.makeFolder("a/state/enrolled")
        try temporary.makeFolder("a/state/enrolled/default")
        try temporary.write("a/state/enrolled/default/edge.json", contents)
        let failure = error { _ = try state.enrolledNodes() }
        #expect(failure?.kind == .corrupted)
        #expect(failure?.path.hasSuffix("enrolled/default/edge.json") == true)
        #expect(temporary.read("a/state/enrolled/default/edge.json") == contents)
    }

    @Test func uplinkKeysAreKept() throws {
        let state = try StateFolder(path: path)
        #expect(try state.uplinkKeys(of: node).isEmpty)
        let keys = [try WireGuardPrivateKey.generate(), try WireGuardPrivateKey.generate()]
        for (ordinal, key) in keys.enumerated() { try state.writeUplinkKey(key, ordinal: ordinal, of: node) }
        #expect(try state.uplinkKeys(of: node) == [0: keys[0], 1: keys[1]])
        #expect(temporary.read("a/state/uplinks/default-edge/keys/priv-1")?.count == 45)
        #expect(temporary.mode("a/state/uplinks/default-edge/keys/priv-1") == 0o600)
        try state.removeUplinkKey(ordinal: 1, of: node)
        #expect(try state.uplinkKeys(of: node) == [0: keys[0]])
        #expect(state.uplinkFiles(of: node).keys == "\(path)/uplinks/default-edge/keys")
        try state.removeUplinks(of: node)
        #expect(temporary.names("a/state/uplinks") == [])
    }

    @Test func aCorruptedKeyIsNamedAndNotShown() throws {
        let state = try StateFolder(path: path)
        try state.writeUplinkKey(try WireGuardPrivateKey.generate(), ordinal: 0, of: node)
        try temporary.write("a/state/uplinks/default-edge/keys/priv-0", "hunter2\n")
        let failure = error { _ = try state.uplinkKeys(of: node) }
        #expect(failure?.kind == .corrupted)
        #expect(failure?.path.hasSuffix("keys/priv-0") == true)
        #expect(failure?.description.contains("hunter2") == false)
    }

    @Test func nodesThatWouldShareAFolderDoNot() throws {
        let state = try StateFolder(path: path)
        let first = ObjectName(namespace: "a-b", name: "c")
        let second = ObjectName(namespace: "a", name: "b-c")
        try state.writeUplinkDocument([1], of: first)
        #expect(error { try state.writeUplinkDocument([2], of: second) }?.kind == .nameClash)
        try state.removeUplinks(of: second)
        #expect(temporary.read("a/state/uplinks/a-b-c/config/document.json") == "\u{1}")
        try state.removeUplinks(of: first)
        try state.writeUplinkDocument([2], of: second)
    }

    @Test func statusesAreWrittenAsKubectlShowsThem() throws {
        let state = try StateFolder(path: path)
        let status = EdgeNodeStatus(
            conditions: [
                Condition(
                    type: "Ready", status: .true, reason: "Applied", message: "all is well",
                    lastTransitionTime: "2026-01-02T03:04:05Z")
            ], appliedBindings: 2)
        try state.writeStatus(status, of: node)
        #expect(
            temporary.read("a/state/status/default/edgenode-edge.yaml") == """
                apiVersion: tunnel.achetronic.com/v1alpha1
                kind: EdgeNode
                metadata:
                  name: edge
                  namespace: default
                status:
                  appliedBindings: 2
                  conditions:
                  - lastTransitionTime: "2026-01-02T03:04:05Z"
                    message: all is well
                    reason: Applied
                    status: "True"
                    type: Ready

                """)
        let web = PortBindingStatus(
            bindings: [BindingStatus(name: "http", address: "203.0.113.10:80", ready: false, reason: .portInUse, message: "m: n")]
        )
        try state.writeStatus(web, of: ObjectName(namespace: "default", name: "web"))
        let read = try StateFolder.readStatuses(at: path)
        #expect(read.edgeNodes.map(\.name) == [node])
        #expect(read.edgeNodes.map(\.status) == [status])
        #expect(read.portBindings.map(\.status) == [web])
        try state.removeEdgeNodeStatus(of: node)
        try state.removePortBindingStatus(of: node)
        #expect(try StateFolder.readStatuses(at: path).edgeNodes.isEmpty)
        try temporary.write("a/state/status/default/portbinding-web.yaml", "a: [")
        #expect(error { _ = try StateFolder.readStatuses(at: path) }?.kind == .corrupted)
    }

    @Test func equalBytesAreNotWrittenAgain() throws {
        let state = try StateFolder(path: path)
        try state.writeUplinkDocument([1, 2, 3], of: node)
        func inode() -> UInt {
            var status = stat()
            return stat(state.uplinkFiles(of: node).document, &status) == 0 ? status.st_ino : 0
        }
        let before = inode()
        try state.writeUplinkDocument([1, 2, 3], of: node)
        #expect(inode() == before)
        try state.writeUplinkDocument([1, 2, 3, 4], of: node)
        #expect(inode() != before)
        // A crash may have left its temporary file.
        try temporary.write("a/state/uplinks/default-edge/config/.document.json.tmp", "half")
        try state.writeUplinkDocument([5], of: node)
        #expect(temporary.names("a/state/uplinks/default-edge/config") == ["document.json"])
    }
}
