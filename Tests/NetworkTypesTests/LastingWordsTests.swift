import NetworkTypes
import Testing

@Suite struct LastingWordsTests {
    /// Said by Envoy 1.40.0, sshd, systemd and wireguard-go.
    @Test(arguments: [
        (
            "[2026-11-28 18:08:24.393][22517][critical][main] [source/server/server.cc:76] error initializing configuration",
            "[critical][main] error initializing configuration"
        ),
        (
            "[2026-11-28 18:07:37.394][22531][critical][backtrace] [./source/server/backtrace.h:167] #21: [0x55e46283111c]",
            "[critical][backtrace] #21:"
        ),
        ("Nov 28 18:08:24 vps sshd[812]: error: no more sessions", "vps sshd: error: no more sessions"),
        (
            "Nov 28 18:08:24 vps systemd[1]: tidegate-envoy.service: Main process exited, code=dumped, status=11/SEGV",
            "vps systemd: tidegate-envoy.service: Main process exited, code=dumped, status=11/SEGV"
        ),
        ("DEBUG: (wg-relay) 2026/11/28 18:08:24 Device started", "DEBUG: (wg-relay) Device started"),
        (
            "2026-11-28T18:08:24.934Z the supervisor took pid 4242, pid=77 and (pid 8)",
            "the supervisor took pid N, pid=N and (pid N)"
        ),
        ("socket at 0x7fa063a5124a is gone", "socket at 0x… is gone"),
        ("listeners[0].filter_chains[12]: no such field", "listeners[0].filter_chains: no such field"),
        (
            "listeners[0].filter_chains[12].filters at [::]:8443 and 10.9.9.9:80",
            "listeners[0].filter_chains[12].filters at [::]:8443 and 10.9.9.9:80"
        ),
        ("cannot bind '[::]:2': Address already in use", "cannot bind '[::]:2': Address already in use"),
        ("[", "["), ("", ""), ("[]", "[]"),
    ])
    func changesAreStripped(_ said: String, _ lasting: String) { #expect(lastingWords(of: said) == lasting) }

    @Test func equalFaultsGiveEqualText() {
        func said(_ second: Int, _ id: Int) -> String {
            "[2026-11-28 18:08:\(10 + second % 50).\(100 + id % 900)][\(id)][critical][main] [source/server.cc:\(id)] pid \(id): it fails"
        }
        #expect(Set((0..<1000).map { lastingWords(of: said($0, $0 + 1)) }).count == 1)
    }
}
