import EdgeAPI
import Glibc
import Logging
import ManifestStore
import TestFiles
import Testing

@testable import Standalone

@Suite struct LocalUplinksKernelTests {
    private let folder: TemporaryFolder
    private let node = ObjectName(namespace: "default", name: "edge")
    private let files: UplinkFiles

    init() throws {
        folder = try TemporaryFolder()
        files = try StateFolder(path: folder("state")).uplinkFiles(of: node)
        #expect(mkdir(folder("state/uplinks"), 0o700) == 0 && mkdir(files.folder, 0o700) == 0)
    }

    /// A played uplink.
    private func uplinks(_ script: String) throws -> LocalUplinks {
        let program = try folder.write("uplink", "#!/bin/sh\n\(script)\n", mode: 0o700)
        return LocalUplinks(
            program: program, arguments: [], environment: ["PATH=/usr/bin:/bin"],
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func log(_ holds: (String) -> Bool) async throws -> String {
        let deadline = ContinuousClock.now + .seconds(20)
        while true {
            if let text = folder.read("state/uplinks/default-edge/uplink.log"), holds(text) { return text }
            try #require(ContinuousClock.now < deadline)
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// SwiftNIO, and whoever starts this program with nohup, ignore signals; an uplink that inherits that is another.
    @Test func anUplinkIgnoresNoSignalThatThisProcessDoes() async throws {
        for number in [SIGPIPE, SIGHUP] { signal(number, SIG_IGN) }
        defer { signal(SIGHUP, SIG_DFL) }
        let uplinks = try uplinks("grep SigIgn /proc/self/status; exec sleep 60")
        try await uplinks.run(node: node, files: files)
        let text = try await log { $0.hasSuffix("\n") }
        await uplinks.stop(node: node, files: files)
        let mask = try #require(UInt64(text.dropFirst("SigIgn:\t".count).dropLast(), radix: 16), "\(text)")
        // Bit 0 is signal 1. glibc has its own two (32 and 33) ignored in every child.
        for number in [SIGPIPE, SIGHUP] { #expect(mask >> UInt64(number - 1) & 1 == 0, "signal \(number) of \(text)") }
    }

    @Test func oneThatDiedIsStartedAgainAndOneThatLivesIsLeftAlone() async throws {
        let uplinks = try uplinks("echo $$ $POD_NAME; exec sleep 60")
        try await uplinks.run(node: node, files: files)
        let first = try await log { $0.hasSuffix(" edge-uplink-0\n") }
        try await uplinks.keepAlive()
        let process = try #require(ProcessIdentity(pidFile: "\(files.folder)/uplink.pid"))
        #expect(first == "\(process.pid) edge-uplink-0\n")
        kill(process.pid, SIGKILL)
        while process.isAlive { try await Task.sleep(for: .milliseconds(5)) }
        try await uplinks.keepAlive()
        let second = try await log { $0.split(separator: "\n").count == 2 }
        #expect(second.hasPrefix(first))
        await uplinks.stop(node: node, files: files)
        #expect(folder.read("state/uplinks/default-edge/uplink.pid") == nil)
        for text in second.split(whereSeparator: \.isWhitespace) where text.first?.isNumber == true {
            #expect(access("/proc/\(text)", F_OK) != 0, "a zombie is left")
        }
    }

    @Test func aComplaintIsTheSecondLine() async throws {
        let uplinks = try uplinks(
            "if [ \"$1\" = healthz ]; then echo alive; echo the relay is silent; exit; fi; exec sleep 60")
        #expect(await uplinks.complaint(node: node) == nil, "it does not run")
        try await uplinks.run(node: node, files: files)
        #expect(await uplinks.complaint(node: node) == "the relay is silent")
        await uplinks.stop(node: node, files: files)
    }

    @Test func aHostHasRoomForOne() async throws {
        let uplinks = try uplinks("exec sleep 60")
        try await uplinks.run(node: node, files: files)
        let other = ObjectName(namespace: "default", name: "other")
        await #expect(throws: LocalUplinkError.self) { try await uplinks.run(node: other, files: files) }
        await uplinks.stop(node: node, files: files)
    }
}
