import Glibc
import NodeDocument
import Synchronization
import TestFiles
import Testing

@testable import NodeAgent

/// What stands in for systemd where there is none.
@Suite struct OwnServicesTests {
    let folder: TemporaryFolder
    let paths: HostPaths

    init() throws {
        folder = try TemporaryFolder()
        paths = HostPaths(root: folder.path)
        for path in ["/run", "/var/log"] { try makeFolder(folder.path + path, .publicFolder) }
    }

    private func state(_ contents: String, isHeld: Bool) throws -> UnitState {
        try replaceFile(paths.keeper(.envoy), Array(contents.utf8), .secretFile)
        let file = open(paths.keeper(.envoy), O_RDWR)
        defer { close(file) }
        if isHeld { #expect(flock(file, LOCK_EX | LOCK_NB) == 0) }
        return try #require(try OwnServices(paths: paths).states()[.envoy])
    }

    @Test func unitWithoutAKeeperDoesNotRun() throws {
        let states = try OwnServices(paths: paths).states()
        #expect(states[.envoy]?.isRunning == false)
        #expect(states[.wireGuard]?.isRunning == false)
        #expect(try state("77\n78\n", isHeld: false).isRunning == false, "the file of a keeper that is gone")
    }

    @Test func keeperIsWhoHoldsTheLock() throws {
        #expect(try state("77\n78\n", isHeld: true) == UnitState(active: "active", file: "enabled", mainPID: 78))
        #expect(try state("77\n0\n", isHeld: true).mainPID == 0, "between two of its child's lives")
        #expect(try state("1\n1\n", isHeld: true).isRunning == false)
        #expect(try state("", isHeld: true).isRunning == false)
    }

    @Test func lastWordsAreTheEndOfTheLog() throws {
        let services = OwnServices(paths: paths)
        #expect(services.lastWords(.envoy) == "")
        let lines = (1...2000).map { "line \($0)\n" }.joined()
        try replaceFile(paths.log(.envoy), Array(lines.utf8), .secretFile)
        #expect(services.lastWords(.envoy) == "line 1996 | line 1997 | line 1998 | line 1999 | line 2000")
    }

    @Test func nothingIsLeftAfterTeardown() throws {
        _ = try state("77\n78\n", isHeld: false)
        try replaceFile(paths.log(.wireGuard), [], .secretFile)
        try OwnServices(paths: paths).clear()
        #expect(try namesInFolder(folder.path + "/run") == [])
        #expect(try namesInFolder(folder.path + "/var/log") == [])
    }

    @Test func reportSaysWhatARebootNeeds() throws {
        let host = try FakeHost()
        #expect(host.agent.status().caveats == nil)
        host.machine.withLock { $0.systemd = false }
        #expect(host.agent.status().caveats?.first?.contains("edge-agent boot") == true)
    }
}
