import Glibc
import HostNetwork
import TestFiles
import Testing

@testable import NodeAgent

@Suite struct RelayProgramTests {
    @Test func hostsOwnIsAChoiceUnlessOthersMayWriteIt() throws {
        let folder = try TemporaryFolder()
        let paths = HostPaths(root: folder.path)
        for name in ["/usr/local/bin", "/usr/bin"] { try makeFolder(folder.path + name, .publicFolder) }
        let ours = WireGuardGo.Program(paths.loader, ["--library-path", paths.programs, paths.wireGuardGo])
        #expect(paths.wireGuardPrograms == [ours])
        let own = try folder.write("usr/bin/wireguard-go", "", mode: 0o755)
        #expect(paths.wireGuardPrograms == [ours, WireGuardGo.Program(own)])
        for mode in [0o775, 0o757, 0o644] as [mode_t] {
            try folder.write("usr/local/bin/wireguard-go", "", mode: mode)
            #expect(paths.wireGuardPrograms == [ours, WireGuardGo.Program(own)])
        }
        try folder.remove("usr/local/bin/wireguard-go")
        try folder.link("usr/local/bin/wireguard-go", to: own)
        #expect(paths.wireGuardPrograms == [ours, WireGuardGo.Program(own)], "a link may lead anywhere")
    }
}
