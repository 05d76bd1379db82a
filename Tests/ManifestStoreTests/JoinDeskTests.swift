import EdgeAPI
import NetworkTypes
import Sodium
import TestFiles
import Testing

@testable import ManifestStore

@Suite struct JoinDeskTests {
    private let temporary: TemporaryFolder
    private let state: StateFolder
    private let node = ObjectName(namespace: "default", name: "edge")
    private var desk: JoinDesk { state.joinDesk }

    init() throws {
        temporary = try TemporaryFolder()
        state = try StateFolder(path: temporary("state"))
    }

    @Test func worksBesideTheControllerThatHoldsTheFolder() throws {
        try state.writeUplinkKey(try WireGuardPrivateKey.generate(), ordinal: 1, of: node)
        let desk = JoinDesk(path: temporary("state"))
        #expect(try desk.joined(node).isEmpty && desk.handoverKey() == nil && desk.stamp(of: node) == nil)
        let key = try desk.makeHandoverKey()
        #expect(try desk.makeHandoverKey().secret == key.secret)
        #expect(temporary.mode("state/handover.key") == 0o600)
        try desk.alone(with: node) { try desk.note(ordinal: 1, of: node, at: "2026-11-29T10:00:00Z") }
        #expect(try desk.joined(node) == [1: "2026-11-29T10:00:00Z"])
        #expect(desk.stamp(of: node) != nil)
        let former = try #require(try desk.key(ordinal: 1, of: node))
        let fresh = try desk.replaceKey(ordinal: 1, of: node)
        #expect(fresh != former)
        #expect(try state.uplinkKeys(of: node) == [1: fresh])
        try desk.forget(ordinal: 1, of: node)
        #expect(try desk.joined(node).isEmpty)
        #expect(try desk.key(ordinal: 2, of: node) == nil)
    }

    @Test func numbersRiseWithEachOtherDocumentAndStayOnTheDisk() throws {
        let (first, second) = (SHA256.digest(of: "1"), SHA256.digest(of: "2"))
        #expect(try state.handoverSequence(of: node, hash: first) == 1)
        #expect(try state.handoverSequence(of: node, hash: first) == 1)
        #expect(try state.handoverSequence(of: node, hash: second) == 2)
        #expect(try state.handoverSequence(of: node, hash: first) == 3)
        try temporary.write("state/uplinks/default-edge/handed", "x\n")
        #expect(throws: StateError.self) { try state.handoverSequence(of: node, hash: first) }
        #expect(temporary.read("state/uplinks/default-edge/handed") == "x\n")
    }

    @Test func aBrokenHandoverKeyIsNamedAndLeftAlone() throws {
        try temporary.write("state/handover.key", "short")
        #expect(throws: StateError.self) { try desk.makeHandoverKey() }
        #expect(temporary.read("state/handover.key") == "short")
    }

    @Test func theFilesGoWithTheNode() throws {
        try state.writeUplinkKey(try WireGuardPrivateKey.generate(), ordinal: 0, of: node)
        try desk.note(ordinal: 0, of: node, at: "2026-11-29T10:00:00Z")
        _ = try state.handoverSequence(of: node, hash: SHA256.digest(of: "1"))
        try state.removeUplinks(of: node)
        #expect(temporary.names("state/uplinks") == [])
    }
}
