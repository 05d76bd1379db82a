import Glibc
import NodeDocument
import TestFiles
import Testing

@testable import NodeAgent

@Suite struct HostFilesTests {
    let folder: TemporaryFolder
    var path: String { folder.path + "/file" }

    init() throws { folder = try TemporaryFolder() }

    private func mode(_ path: String) throws -> mode_t { try #require(try statusOf(path)).st_mode & 0o7777 }

    @Test func replacesWhole() throws {
        try replaceFile(path, [1], .secretFile)
        try replaceFile(path, [2, 3], .publicFile)
        #expect(try readFile(path) == [2, 3])
        #expect(try mode(path) == 0o644)
        #expect(try namesInFolder(folder.path) == ["file"], "no temporary file stays")
    }

    @Test func writesOnlyWhatDiffers() throws {
        #expect(try ensureFile(path, [1], .secretFile))
        #expect(try !ensureFile(path, [1], .secretFile))
        #expect(try ensureFile(path, [2], .secretFile))
        #expect(try ensureFile(path, [2], .publicFile), "the mode counts")
    }

    @Test func linkInTheWayIsReplacedAndNotFollowed() throws {
        let target = folder.path + "/target"
        try replaceFile(target, [9], .publicFile)
        #expect(symlink(target, path) == 0)
        #expect(throws: AgentError.self) { try readFile(path) }
        #expect(try ensureFile(path, [1], .secretFile))
        #expect(try readFile(target) == [9])
        #expect(try readFile(path) == [1])
    }

    @Test func removingATreeFollowsNoLink() throws {
        let outside = try TemporaryFolder()
        try replaceFile(outside.path + "/keep", [1], .publicFile)
        try makeFolder(folder.path + "/tree/inner", .publicFolder)
        #expect(symlink(outside.path, folder.path + "/tree/inner/link") == 0)
        #expect(try removeTree(folder.path + "/tree"))
        #expect(try !removeTree(folder.path + "/tree"))
        #expect(try readFile(outside.path + "/keep") == [1])
    }

    @Test func foldersGetTheirMode() throws {
        #expect(try makeFolder(folder.path + "/a/b", .secretFolder))
        #expect(try mode(folder.path + "/a/b") == 0o700)
        #expect(try !makeFolder(folder.path + "/a/b", .secretFolder))
        #expect(try makeFolder(folder.path + "/a/b", .publicFolder))
        try replaceFile(path, [], .publicFile)
        #expect(throws: AgentError.self) { try makeFolder(path, .publicFolder) }
    }

    @Test func longFilesAreRefused() throws {
        try replaceFile(path, [UInt8](repeating: 1, count: 5000), .publicFile)
        #expect(try readFile(path, limit: 5000)?.count == 5000)
        #expect(throws: AgentError.self) { try readFile(path, limit: 4999) }
        #expect(try readFile(folder.path + "/none") == nil)
    }

    @Test func fullDiskHasItsKind() {
        #expect(AgentError(errno: ENOSPC, tried: "writing x").kind == .diskFull)
        #expect(AgentError(errno: EDQUOT, tried: "writing x", kind: .network).kind == .diskFull)
        #expect(AgentError(errno: EACCES, tried: "writing x").kind == .system)
    }

    @Test func tooLittleSpaceIsSaidBeforehand() throws {
        let preflight = Preflight(host: try FakeHost().agent.host)
        #expect { try preflight.checkSpace(in: folder.path, bytes: 1 << 50) } throws: { ($0 as? AgentError)?.kind == .diskFull }
        try preflight.checkSpace(in: folder.path, bytes: 1)
    }

    @Test func oneHolderOfTheLockAtATime() throws {
        let lock = try HostLock(path, milliseconds: 0)
        #expect { _ = try HostLock(path, milliseconds: 50) } throws: { ($0 as? AgentError)?.kind == .busy }
        lock.removeFile()
        let next = try HostLock(path, milliseconds: 0)
        withExtendedLifetime((lock, next)) {}
    }

    @Test func stateOfAnotherBuildIsRead() throws {
        let paths = HostPaths(root: folder.path)
        try makeFolder(paths.settings, .secretFolder)
        try replaceFile(paths.state, Array(#"{"epoch":7,"newField":1}"#.utf8), .secretFile)
        var file = try StateFile(paths)
        #expect(file.value.epoch == 7)
        file.value.madeUser = true
        try file.save()
        #expect(try StateFile(paths).value.madeUser)
        try replaceFile(paths.state, Array("{".utf8), .secretFile)
        #expect(throws: AgentError.self) { try StateFile(paths) }
    }

    @Test func relayKeyIsMadeOnceAndNeverReplaced() throws {
        let paths = HostPaths(root: folder.path)
        try makeFolder(paths.settings, .secretFolder)
        let first = try RelayKey.ensure(paths)
        let second = try RelayKey.ensure(paths)
        #expect(first.isNew && !second.isNew)
        #expect(first.key == second.key)
        #expect(try mode(paths.relayKey) == 0o600)
        try replaceFile(paths.relayKey, Array("not a key".utf8), .secretFile)
        #expect(throws: AgentError.self) { try RelayKey.ensure(paths) }
    }
}
