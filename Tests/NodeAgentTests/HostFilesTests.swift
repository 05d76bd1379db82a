import CLinuxHeaders
import Glibc
import NodeDocument
import Syscalls
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

    /// Envoy's user owns a folder that root removes: nesting, names of any bytes, pipes and sockets cost neither time nor stack.
    @Test func nothingThatAnotherUserMakesStopsTheRemoval() throws {
        let tree = folder.path + "/tree"
        try makeFolder(tree, .publicFolder)
        var deep = open(tree, O_RDONLY | O_DIRECTORY)
        for _ in 0..<500 {
            #expect(mkdirat(deep, "d", 0o755) == 0)
            let next = openat(deep, "d", O_RDONLY | O_DIRECTORY)
            close(deep)
            deep = next
        }
        #expect(symlinkat("/etc", deep, "link") == 0)
        close(deep)
        #expect(mkfifo(tree + "/pipe", 0o600) == 0)
        let odd: [CChar] = Array((tree + "/").utf8CString.dropLast()) + [-1, -2, 0]
        #expect(mkdir(odd, 0o700) == 0)
        let start = ContinuousClock.now
        #expect(try removeTree(tree))
        #expect(start.duration(to: .now) < .seconds(20))
        #expect(try statusOf(tree) == nil)
    }

    /// A pipe in the place of a file would hold whoever opens it, with the host's lock.
    @Test func onlyPlainFilesAreRead() throws {
        #expect(mkfifo(path, 0o600) == 0)
        #expect(throws: AgentError.self) { try readFile(path) }
        #expect(EnvoyRun.read(HostPaths(root: folder.path)) == nil)
        let paths = HostPaths(root: folder.path)
        try makeFolder(paths.runtime, .publicFolder)
        for place in [paths.envoyRun, paths.uplinkWord] { #expect(mkfifo(place, 0o600) == 0) }
        #expect(EnvoyRun.read(paths) == nil && UplinkWord.read(paths) == nil)
        // A file that claims to be longer than memory.
        unlink(paths.envoyRun)
        try replaceFile(paths.envoyRun, [0x7B], .publicFile)
        #expect(truncate(paths.envoyRun, 1 << 42) == 0)
        #expect(EnvoyRun.read(paths) == nil)
        #expect(throws: AgentError.self) { try readFile("/dev/zero") }
        #expect(try readFile("/proc/self/limits")?.isEmpty == false)
    }

    /// In the place of Envoy's socket: a link to one that root alone may open.
    @Test func aLinkToAnotherSocketIsNotFollowed() throws {
        let link = folder.path + "/link"
        let other = folder.path + "/other"
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        let bound = try unixAddress(other).withSockaddr { bind(listener, $0, $1) }
        #expect(bound == 0 && listen(listener, 1) == 0)
        #expect(symlink(other, link) == 0)
        func reason(_ path: String) -> String {
            guard case .failure(let error) = fetch("/", from: [.unixSocket(path)], milliseconds: 100, limit: 100).first else {
                return ""
            }
            return error.message
        }
        #expect(reason(link).contains("no socket"))
        #expect(reason(other).contains("did not answer"))
        try replaceFile(path, [], .publicFile)
        #expect(reason(path).contains("no socket"))
    }

    @Test func aVersionThatIsAPathIsRefused() throws {
        #expect(throws: AgentError.self) {
            try EnvoyBinary(paths: HostPaths(root: folder.path)).choose("1.40.0/../../../../../tmp/evil")
        }
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
