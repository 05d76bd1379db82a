import NodeDocument
import Testing

@testable import NodeAgent

@Suite struct UnitsTests {
    private func settings(_ envoy: RelayEnvoy, limit: Int = 1 << 20) -> UnitSettings {
        UnitSettings(paths: HostPaths(), envoy: envoy, openFilesLimit: limit)
    }

    private func text(_ unit: UnitName, _ settings: UnitSettings) -> String {
        String(decoding: unit.text(settings), as: UTF8.self)
    }

    @Test func limitsAreReadAsTheKernelWritesThem() {
        let limits =
            "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 20000                files     \n"
        #expect(hardLimit(named: "Max open files", in: limits) == 20000)
        #expect(hardLimit(named: "Max processes", in: limits) == nil)
    }

    @Test func envoyUnitHasItsLimitsAndNoRightButThePorts() throws {
        let lines = text(.envoy, settings(try sampleDocument().content.envoy)).split(separator: "\n")
        for line in [
            "User=tidegate-envoy", "LimitNOFILE=69286", "CapabilityBoundingSet=CAP_NET_BIND_SERVICE", "NoNewPrivileges=yes",
            "ProtectSystem=strict", "Restart=always", "BindReadOnlyPaths=/etc/tidegate/envoy:/run/tidegate/config",
            "WorkingDirectory=/run/tidegate/config", "LimitCORE=0",
            "ExecStart=/usr/local/lib/tidegate/edge-agent run-envoy",
            "ExecReload=/usr/local/lib/tidegate/edge-agent restart-envoy",
            "KillMode=mixed",
        ] { #expect(lines.contains(Substring(line)), "\(line)") }
    }

    @Test(arguments: UnitName.allCases) func everyUnitIsConfined(_ unit: UnitName) throws {
        let lines = text(unit, settings(try sampleDocument().content.envoy)).split(separator: "\n")
        for line in [
            "LimitCORE=0", "NoNewPrivileges=yes", "ProtectSystem=strict", "UMask=0077",
            "SystemCallFilter=~@privileged @resources",
        ] {
            #expect(lines.contains(Substring(line)), "\(line)")
        }
        #expect(lines.count { $0.hasPrefix("CapabilityBoundingSet=\(unit == .link ? "" : "CAP_NET_")") } == 1)
        #expect(lines.count { $0.hasPrefix("RestrictAddressFamilies=") } == 1)
    }

    @Test func linkUnitHasNoRightAndNoNetworkButLoopback() throws {
        let lines = text(.link, settings(try sampleDocument().content.envoy)).split(separator: "\n")
        for line in [
            "User=tidegate-link", "ExecStart=/usr/local/lib/tidegate/edge-agent run-link", "CapabilityBoundingSet=",
            "IPAddressAllow=localhost", "IPAddressDeny=any",
            "RestrictAddressFamilies=AF_INET AF_UNIX", "BindReadOnlyPaths=/etc/tidegate/link:/run/tidegate-link/config",
            "LimitNOFILE=1048576",
        ] { #expect(lines.contains(Substring(line)), "\(line)") }
        #expect(!lines.contains { $0.hasPrefix("ReadWritePaths=") })
    }

    @Test func wireGuardUnitStartsTheNewestAndBoundsItsMemory() throws {
        let lines = text(.wireGuard, settings(try sampleDocument().content.envoy)).split(separator: "\n")
        for line in ["ExecStart=/usr/local/lib/tidegate/edge-agent run-wireguard", "Environment=GOMEMLIMIT=160MiB"] {
            #expect(lines.contains(Substring(line)), "\(line)")
        }
    }

    @Test func bindingsDoNotChangeTheUnit() throws {
        let one = try sampleDocument().content.envoy
        let more = try sampleDocument(more: [sampleBinding("a", 1)]).content.envoy
        for unit in UnitName.allCases { #expect(unit.text(settings(one)) == unit.text(settings(more))) }
        #expect(settings(one).launchText == settings(more).launchText)
    }

    @Test func fileLimitStaysUnderTheKernels() throws {
        #expect(settings(try sampleDocument().content.envoy, limit: 4096).openFiles == 4096)
    }

    @Test func stateOfEveryUnitIsRead() {
        let text = """
            Id=tidegate-boot.service
            ActiveState=active
            UnitFileState=enabled
            NeedDaemonReload=no
            MainPID=0
            Result=success

            Id=tidegate-envoy.service
            ActiveState=activating
            UnitFileState=disabled
            NeedDaemonReload=yes
            MainPID=77
            Result=exit-code

            """
        let states = UnitState.parse(text)
        #expect(states.count == 2)
        #expect(states[.boot] == UnitState(active: "active", file: "enabled"))
        #expect(states[.envoy]?.isRunning == true)
        #expect(states[.envoy]?.isEnabled == false)
        #expect(states[.envoy]?.needsReload == true)
        #expect(UnitState.parse("") == [:])
        #expect(UnitState.parse("garbage\n=\n\nId=\n") == [:])
    }
}
