import Foundation
import TestNetwork
import TestPrograms
import Testing

/// Nobody who opens connections takes the kubelet's or the relay's from them.
@Suite(.serialized) struct StatusUnderLoadTests {
    private let lab: TunnelLab

    init() throws {
        lab = try TunnelLab()
        try lab.write([])
    }

    private func start() throws -> RunningProgram {
        let uplink = try lab.startUplink("--status-address", "0.0.0.0", "--probe-address", "0.0.0.0", "--drain", "0s")
        try eventually { try lab.ready() == "ready\n200" }
        return uplink
    }

    /// Seconds that an answer took; it must be the one that is wanted.
    private func time(_ path: String, from namespace: TestNamespace, _ address: String, status: Int = 200) throws -> Double {
        let words = try namespace.execute(
            "curl", "-sS", "-m", "5", "-o", "/dev/null", "-w", "%{http_code} %{time_total}", "http://\(address)\(path)"
        ).split(separator: " ")
        #expect(words.first == "\(status)")
        return try #require(words.last.flatMap { Double($0) })
    }

    private func kubelets(status: Int = 200) throws -> Double {
        try time("/ready", from: lab.backend, "10.96.0.254:40501", status: status)
    }
    private func relays() throws -> Double { try time("/ready", from: lab.relay, "\(TunnelLab.uplinkAddress):40500") }

    /// Opens connections, says nothing, and keeps them; the file `done` is there when all are open.
    private static let holder = """
        import resource, socket, sys, time
        done, port, count, sources = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        held = []
        for number in range(count):
            one = socket.socket()
            one.settimeout(5)
            one.bind((sources[number % len(sources)], 0))
            one.connect(("10.96.0.254", port))
            held.append(one)
        open(done, "x").close()
        time.sleep(600)
        """

    /// Connections, from so many pods, to a port; `worst` is what an answer may take, in seconds. On the kubelet's own port it waits
    /// its turn among those who come, but never as long as the probe's timeout.
    @Test(arguments: [(22_000, 1, 40500, 0.1), (140, 140, 40500, 0.1), (2_000, 20, 40501, 1)])
    func idleConnectionsStarveNobody(count: Int, sources: Int, port: Int, worst: Double) throws {
        let uplink = try start()
        defer { uplink.terminate() }
        let addresses = (1...sources).map { "10.96.1.\($0)" }
        for address in addresses { try lab.backend.execute("ip", "address", "add", "\(address)/16", "dev", "lan") }
        // No process may have more than 20,000 files on some machines.
        let parts = count > 10_000 ? 2 : 1
        let done = (0..<parts).map { "\(lab.folder)/done-\($0)" }
        let holders = try done.map { done in
            try RunningProgram(
                ["ip", "netns", "exec", lab.backend.name, "python3", "-c", Self.holder, done, "\(port)", "\(count / parts)"]
                    + addresses)
        }
        defer { for holder in holders { holder.terminate() } }
        var longest = (kubelet: 0.0, relay: 0.0)
        func look() throws {
            longest.kubelet = max(longest.kubelet, try kubelets())
            longest.relay = max(longest.relay, try relays())
        }
        // While they come, and when they are there.
        while !done.allSatisfy({ access($0, F_OK) == 0 }) {
            let isHolding = holders.allSatisfy { $0.isRunning }
            try #require(isHolding)
            try look()
        }
        for _ in 0..<5 { try look() }
        #expect(longest.kubelet < worst && longest.relay < 0.1, "\(longest)")
        #expect(try lab.health() == "alive\n")
        // A scraper from elsewhere gets through too.
        if port == 40500 { #expect(try time("/metrics", from: lab.backend, "10.96.0.254:40500") < 0.5) }
    }

    @Test func whoSaysHalfARequestIsSentAway() throws {
        let uplink = try start()
        defer { uplink.terminate() }
        let began = ContinuousClock.now
        let said = try lab.backend.execute(
            "sh", "-c",
            "(printf 'GET /ready HTTP/1.1\\r\\nHost: a'; while sleep 1; do printf x; done) | timeout 10 socat -T 30 - TCP:10.96.0.254:40501 || true"
        )
        #expect(said == "")
        #expect(ContinuousClock.now - began < .seconds(9))
    }

    /// The fall of the tunnel, which WireGuard itself notices after minutes, shows within seconds to the kubelet; so does its return.
    @Test func theKubeletLearnsOfTheTunnelsFall() throws {
        let uplink = try start()
        defer { uplink.terminate() }
        _ = try kubelets()
        let prober = try lab.relay.start(
            "sh", "-c",
            "while :; do curl -s -m 0.9 -o /dev/null -H 'Connection: close' http://\(TunnelLab.uplinkAddress):40500/ready; sleep 0.9; done"
        )
        defer { prober.terminate() }
        usleep(7_000_000)
        #expect(try kubelets() < 0.1)
        try lab.relay.execute("ip", "link", "set", "wan", "down")
        let fall = ContinuousClock.now
        try eventually(within: .seconds(4)) { try probe().hasSuffix("503") }
        #expect(ContinuousClock.now - fall > .seconds(1))
        #expect(try probe().hasPrefix("nothing has come through the tunnel for 3 s"))
        #expect(try lab.health() == "alive\n")
        usleep(3_000_000)
        try lab.relay.execute("ip", "link", "set", "wan", "up")
        try eventually(within: .seconds(3)) { try probe().hasSuffix("200") }
        // A relay whose prober has ended is no tunnel that has fallen.
        prober.terminate()
        for _ in 0..<20 {
            #expect(try probe().hasSuffix("200"))
            usleep(500_000)
        }
    }

    private func probe() throws -> String {
        try lab.backend.execute("curl", "-sS", "-m", "2", "-w", "%{http_code}", "http://10.96.0.254:40501/ready")
    }

    @Test func aHungUplinkIsNoticedAndAStrangerIsNotBelieved() throws {
        #expect(throws: CommandFailure.self) { try lab.health() }
        let uplink = try start()
        defer {
            kill(uplink.processIdentifier, SIGCONT)
            uplink.terminate()
        }
        #expect(try lab.health() == "alive\n")
        kill(uplink.processIdentifier, SIGSTOP)
        let failure = #expect(throws: CommandFailure.self) { try lab.health("--timeout", "1") }
        #expect(failure?.output == "the uplink does not answer within 1 s\n")
        kill(uplink.processIdentifier, SIGKILL)
        uplink.waitUntilExit()
        let stranger = try lab.uplink.start(
            "setpriv", "--reuid", "65534", "--clear-groups", "socat", "ABSTRACT-LISTEN:tidegate-uplink,unix-tightsocklen=1,fork",
            "SYSTEM:printf alive")
        defer { stranger.terminate() }
        try eventually {
            do {
                return try lab.health() == "never"
            } catch let error as CommandFailure {
                return error.output == "another user's process answers in the uplink's place\n"
            }
        }
    }
}
