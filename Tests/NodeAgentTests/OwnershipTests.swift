import NodeDocument
import Sodium
import Synchronization
import TestFiles
import Testing

@testable import NodeAgent

/// Whose host it is, and how it is given up.
@Suite struct OwnershipTests {
    let host: FakeHost

    init() throws { host = try FakeHost() }

    @Test func anotherOwnerIsRefusedAndTold() throws {
        _ = try host.apply(try sampleDocument())
        let report = try host.apply(try sampleDocument(epoch: 9, owner: "other"))
        #expect(report.outcome == .refused)
        #expect(report.problems.map(\.kind) == [.foreignOwner])
        #expect(report.problems[0].message.contains("default/edge of installation i"))
        #expect(report.problems[0].message.contains("teardown"))
    }

    @Test func olderEpochIsRefused() throws {
        _ = try host.apply(try sampleDocument(epoch: 5))
        #expect(try host.apply(try sampleDocument(epoch: 4)).problems.map(\.kind) == [.staleEpoch])
        #expect(try host.apply(try sampleDocument(epoch: 5)).outcome == .needsEnvoy)
        #expect(try host.apply(try sampleDocument(epoch: 6)).outcome == .needsEnvoy)
    }

    @Test func theSameEpochOfAnotherWriterIsRefused() throws {
        _ = try host.apply(try sampleDocument(epoch: 6, writer: "a 1"))
        let late = try host.apply(try sampleDocument(epoch: 6, writer: "b 1"))
        #expect(late.problems.map(\.kind) == [.staleEpoch])
        #expect(late.epoch == 6, "what it must rise above")
        #expect(try host.apply(try sampleDocument(epoch: 6, writer: "a 1")).outcome == .needsEnvoy)
        #expect(try host.apply(try sampleDocument(epoch: 7, writer: "b 1")).outcome == .needsEnvoy)
        #expect(try host.apply(try sampleDocument(epoch: 6, writer: "a 1")).problems.map(\.kind) == [.staleEpoch])
        let document = try sampleDocument(epoch: 7, writer: "a 1")
        let request = TeardownRequest(owner: document.owner, epoch: 7, writer: "a 1")
        #expect(host.agent.teardown(try DocumentJSON.encode(request)).problems.map(\.kind) == [.staleEpoch])
    }

    /// State and documents of a build before this one tell no writer.
    @Test func aFormerBuildsStateIsTakenOver() throws {
        _ = try host.apply(try sampleDocument(epoch: 6))
        #expect(try host.apply(try sampleDocument(epoch: 6, writer: "a 1")).outcome == .needsEnvoy)
        #expect(try host.apply(try sampleDocument(epoch: 6, writer: "b 1")).problems.map(\.kind) == [.staleEpoch])
    }

    /// As installations may stand whose epochs were burned: the next number is above what a Lease can count.
    @Test func anEpochBeyondWhatALeaseCountsIsTaken() throws {
        _ = try host.apply(try sampleDocument(epoch: 1 << 31))
        let refused = try host.apply(try sampleDocument(epoch: 1, writer: "a 1"))
        #expect(refused.epoch == 1 << 31)
        #expect(try host.apply(try sampleDocument(epoch: (1 << 31) + 1, writer: "a 1")).outcome == .needsEnvoy)
    }

    @Test func anotherBuildIsAskedForBeforeAnythingIsDone() throws {
        let report = try host.apply(try sampleDocument(build: "build2"))
        #expect(report.outcome == .needsAgent)
        #expect(try namesInFolder(host.paths.settings) == [])
    }

    @Test func teardownLeavesNothing() throws {
        let document = try sampleDocument()
        _ = try host.apply(document)
        _ = try host.pushEnvoy()
        #expect(try host.apply(document).outcome == .applied)
        let report = host.agent.teardown(try DocumentJSON.encode(document.owner))
        #expect(report.outcome == .applied)
        #expect(report.problems == [])
        #expect(try namesInFolder(host.folder.path + "/usr/local/lib") == [])
        #expect(try namesInFolder(host.folder.path + "/etc") == ["passwd", "systemd"])
        #expect(try namesInFolder(host.paths.units) == [])
        #expect(try namesInFolder(host.folder.path + "/run") == [])
        #expect(try EnvoyAccount.find(host.paths) == nil)
        host.machine.withLock { machine in
            #expect(machine.running == [])
            #expect(machine.enabled == [])
            #expect(!machine.hasTunnel)
            #expect(machine.settings["net.core.rmem_max"] == "212992")
        }
    }

    @Test func teardownByAnotherOwnerIsRefused() throws {
        _ = try host.apply(try sampleDocument())
        let other = Owner(installation: "i", namespace: "default", name: "other")
        #expect(host.agent.teardown(try DocumentJSON.encode(other)).problems.map(\.kind) == [.foreignOwner])
        #expect(host.agent.teardown(Array("nonsense".utf8)).problems.map(\.kind) == [.badDocument])
        #expect(try statusOf(host.paths.relayKey) != nil)
        #expect(host.agent.teardown([]).outcome == .applied, "by hand it is always allowed")
        #expect(try statusOf(host.paths.relayKey) == nil)
    }

    @Test func teardownByAFormerWriterIsRefused() throws {
        let document = try sampleDocument()
        _ = try host.apply(document)
        let late = TeardownRequest(owner: document.owner, epoch: document.epoch - 1)
        let report = host.agent.teardown(try DocumentJSON.encode(late))
        #expect(report.problems.map(\.kind) == [.staleEpoch])
        #expect(report.epoch == document.epoch)
        let present = TeardownRequest(owner: document.owner, epoch: document.epoch)
        #expect(host.agent.teardown(try DocumentJSON.encode(present)).outcome == .applied)
    }

    @Test func userThatWasThereBeforeStays() throws {
        let line = "\(envoyUser):x:0:0::/:/\n"
        try replaceFile(host.paths.passwd, Array(line.utf8), .publicFile)
        _ = try host.apply(try sampleDocument())
        #expect(host.agent.teardown([]).outcome == .applied)
        #expect(try EnvoyAccount.find(host.paths) != nil)
    }
}

/// A pushed Envoy counts once its length and digest match and it ran.
@Suite struct InstallEnvoyTests {
    let host: FakeHost

    init() throws { host = try FakeHost() }

    private func header(version: String = "1.40.0", of program: String, length: Int? = nil) throws -> [UInt8] {
        let bytes = Array(program.utf8)
        return try DocumentJSON.encode(
            EnvoyInstallHeader(version: version, sha256: SHA256.digest(of: bytes), length: length ?? bytes.count)) + [0x0A]
    }

    @Test func cutPushInstallsNothing() throws {
        let report = try host.install(try header(of: "fake envoy 1.40.0") + Array("fake envoy".utf8))
        #expect(report.problems.map(\.kind) == [.envoyInstall])
        #expect(report.problems[0].message.contains("after 10 of 17 bytes"))
        #expect(try namesInFolder(host.paths.programs) == ["BUILD"])
    }

    @Test func otherBytesAreRefused() throws {
        let report = try host.install(try header(of: "fake envoy 1.40.0") + Array("fake envoy 1.40.1".utf8))
        #expect(report.problems[0].message.contains("SHA-256"))
        #expect(try namesInFolder(host.paths.programs) == ["BUILD"])
    }

    @Test func programOfAnotherVersionOrNoProgramIsRefused() throws {
        for program in ["fake envoy 1.39.0", "garbage"] {
            let report = try host.install(try header(of: program) + Array(program.utf8))
            #expect(report.problems.map(\.kind) == [.envoyInstall])
            #expect(try namesInFolder(host.paths.programs) == ["BUILD"])
        }
    }

    @Test(arguments: ["../../etc", "1.40/0", "", "."])
    func versionCannotLeadOutOfTheFolder(_ version: String) throws {
        let report = try host.install(try header(version: version, of: "x") + Array("x".utf8))
        #expect(report.problems.map(\.kind) == [.badDocument])
    }

    @Test func headerMustBeJSON() throws {
        #expect(try host.install(Array("hello\n".utf8)).problems.map(\.kind) == [.badDocument])
        #expect(try host.install(Array("{".utf8)).problems.map(\.kind) == [.envoyInstall])
    }

    @Test func touchedProgramIsCheckedAgainAndChangedOneIsAskedForAgain() throws {
        let document = try sampleDocument()
        _ = try host.pushEnvoy()
        let program = EnvoyBinary(paths: host.paths).program("1.40.0")
        try replaceFile(program, Array("fake envoy 1.40.0".utf8), .publicFile)
        #expect(try host.apply(document).outcome == .applied)
        try replaceFile(program, Array("fake envoy 1.40.X".utf8), .publicFile)
        #expect(try host.apply(document).outcome == .needsEnvoy)
    }
}
