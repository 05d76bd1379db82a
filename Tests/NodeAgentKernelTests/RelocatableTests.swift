import Foundation
import NodeDocument
import Testing

@testable import NodeAgent

/// The bundle as it is pushed, in a root that holds no C library: nothing but a static busybox and the bundle's folder.
@Suite(.serialized) struct RelocatableTests {
    let root: String

    init() throws {
        let environment = ProcessInfo.processInfo.environment
        let bundle = environment["TIDEGATE_AGENT_BUNDLE"] ?? EnvoyHostFixture.repository + ".build/dist/edge-agent-x86_64.tar.gz"
        try #require(FileManager.default.fileExists(atPath: bundle), "\(bundle) is missing: run deploy/agent/bundle")
        root = "/var/tmp/tidegate-root-\(getpid())"
        try removeTree(root)
        for folder in ["bin", "proc", "usr/local/lib/tidegate"] { try makeFolder(root + "/" + folder, .publicFolder) }
        try FileManager.default.copyItem(atPath: "/bin/busybox", toPath: root + "/bin/busybox")
        try check(Command("/bin/tar", ["-xzf", bundle, "-C", root + "/usr/local/lib/tidegate"]).run())
    }

    private func check(_ result: CommandResult) throws { #expect(result.succeeded, "\(result.complaint)") }

    /// Swift reads a program's arguments from /proc; the mount goes with its namespace.
    private func inRoot(_ arguments: String...) throws -> CommandResult {
        let script = "mount -t proc proc \"$1/proc\" && exec chroot \"$@\""
        return try Command("/usr/bin/unshare", ["--mount", "/bin/sh", "-c", script, "sh", root] + arguments).run()
    }

    @Test func runsWhereNoCLibraryIs() throws {
        defer { _ = try? removeTree(root) }
        try #require(try inRoot("/bin/busybox", "ls", "/lib64").status != 0, "there is no C library")
        let build = try String(contentsOfFile: root + "/usr/local/lib/tidegate/BUILD", encoding: .utf8)
        let version = try inRoot("/usr/local/lib/tidegate/edge-agent", "version")
        #expect(version == CommandResult(output: build))
        let status = try inRoot("/usr/local/lib/tidegate/edge-agent", "status")
        try check(status)
        let report = try DocumentJSON.decode(AgentReport.self, from: Array(status.output.utf8))
        #expect(report.outcome == .observed)
        #expect(report.agentBuild == build.split(separator: "\n").first.map(String.init))
        let wireGuard = try inRoot(
            "/usr/local/lib/tidegate/ld.so", "--library-path", "/usr/local/lib/tidegate", "/usr/local/lib/tidegate/wireguard-go",
            "--version")
        #expect(wireGuard.output.hasPrefix("wireguard-go"), "\(wireGuard)")
    }

    @Test func wrongUseIsExplained() throws {
        defer { _ = try? removeTree(root) }
        let unknown = try inRoot("/usr/local/lib/tidegate/edge-agent", "$(reboot)")
        #expect(unknown.status == 64)
        #expect(unknown.errors.contains("is no command"))
        #expect(try inRoot("/usr/local/lib/tidegate/edge-agent").errors.contains("usage:"))
        let empty = try inRoot("/usr/local/lib/tidegate/edge-agent", "apply")
        let report = try DocumentJSON.decode(AgentReport.self, from: Array(empty.output.utf8))
        #expect(report.outcome == .refused)
        #expect(report.problems.map(\.kind) == [.badDocument])
    }
}
