import TestFiles
import Testing

@testable import HostNetwork

@Suite struct WireGuardGoProgramTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// A program that says it is of this version, behind a loader as ours is on a VPS.
    private func program(_ name: String, _ version: String, status: Int = 0) throws -> WireGuardGo.Program {
        let text = "[ \"$*\" = --version ] || exit 9\necho 'wireguard-go \(version)'\necho; echo more\nexit \(status)\n"
        return WireGuardGo.Program("/bin/sh", [try folder.write(name, text)])
    }

    @Test(
        arguments: [
            ("wireguard-go v0.0.20250522\n\nUserspace WireGuard daemon", [0, 0, 20_250_522]), ("wireguard-go v1.2", [1, 2]),
            ("wireguard-go v0.0.x", nil), ("wireguard-go v0..1", nil), ("wireguard-go 1", nil), ("boringtun v1.0.0", nil),
            ("", nil),
        ] as [(String, [Int]?)])
    func versionIsRead(_ output: String, _ version: [Int]?) {
        #expect(WireGuardGo.version(in: output) == version)
    }

    @Test func newestIsTaken() throws {
        let old = try program("old", "v0.0.20220316")
        let new = try program("new", "v0.0.20250522")
        let next = try program("next", "v0.1")
        #expect(WireGuardGo.newest(of: [old, new]) == new)
        #expect(WireGuardGo.newest(of: [new, old]) == new)
        #expect(WireGuardGo.newest(of: [new, next, old]) == next, "figures are compared one by one, as numbers")
    }

    @Test func ofEqualsTheFirstIsTaken() throws {
        let ours = try program("ours", "v0.0.20250522")
        #expect(WireGuardGo.newest(of: [ours, try program("theirs", "v0.0.20250522")]) == ours)
    }

    @Test func whatDoesNotTellIsTakenOnlyAlone() throws {
        let old = try program("old", "v0.0.1")
        let broken = try program("broken", "v9.9.9", status: 127)
        let missing = WireGuardGo.Program(folder("missing"))
        #expect(WireGuardGo.newest(of: [missing, broken, old]) == old)
        #expect(WireGuardGo.newest(of: [broken, missing]) == broken)
        #expect(WireGuardGo.newest(of: [missing]) == missing)
        #expect(WireGuardGo.newest(of: []) == nil)
    }
}
