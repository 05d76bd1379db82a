import Glibc
import NetworkTypes
import NodeDocument
import Synchronization
import TestFiles
import Testing
import WireGuardNetlink

@testable import NodeAgent
@testable import RouteNetlink

/// Whole applies on a played host.
@Suite struct ApplyTests {
    let host: FakeHost

    init() throws { host = try FakeHost() }

    private func enrolled(_ document: RelayDocument) throws -> AgentReport {
        #expect(try host.apply(document).outcome == .needsEnvoy)
        #expect(try host.pushEnvoy().outcome == .applied)
        return try host.apply(document)
    }

    @Test func enrollsFromNothing() throws {
        let document = try sampleDocument()
        let first = try host.apply(document)
        #expect(first.outcome == .needsEnvoy)
        #expect(first.relayPublicKey != nil)
        #expect(first.wireGuardKind == "userspace")
        #expect(try readFile(host.paths.document) == nil, "nothing is in force yet")
        #expect(try host.pushEnvoy().outcome == .applied)
        let second = try host.apply(document)
        #expect(second.outcome == .applied)
        #expect(second.problems == [])
        #expect(second.drift == [])
        #expect(second.listeners.map(\.state) == [.active, .active])
        #expect(second.hash == document.hash)
        #expect(second.relayPublicKey == first.relayPublicKey)
        #expect(host.machine.withLock(\.settings)["net.core.rmem_max"] == "26214400")
    }

    /// Whoever takes the table away is told of, and it comes back; it ends with the rest.
    @Test func theTunnelIsKeptForEnvoyAndRoot() throws {
        let document = try sampleDocument()
        _ = try enrolled(document)
        #expect(host.machine.withLock(\.guardedFor) == getuid(), "the played user of Envoy")
        host.machine.withLock { $0.guardedFor = nil }
        #expect(try host.apply(document).drift == ["nftables: made table ip tidegate_relay"])
        host.machine.withLock { $0.guardedFor = nil }
        #expect(host.agent.boot().changes.contains("nftables: made table ip tidegate_relay"))
        #expect(host.agent.teardown([]).changes.contains("nftables: removed table ip tidegate_relay"))
        #expect(host.machine.withLock(\.guardedFor) == nil)
    }

    @Test func aKernelWithoutNFTablesServesAndSaysSo() throws {
        host.machine.withLock { $0.lacksNFTables = true }
        let report = try enrolled(try sampleDocument())
        #expect(report.outcome == .applied && report.problems == [])
        #expect(report.caveats?.contains { $0.contains("nf_tables cannot be set there") } == true)
        #expect(host.agent.teardown([]).outcome == .applied)
    }

    @Test func sameDocumentChangesNothing() throws {
        let document = try sampleDocument()
        _ = try enrolled(document)
        host.machine.withLock { $0.commands = [] }
        let report = try host.apply(document)
        #expect(report.outcome == .applied)
        #expect(report.changes == [])
        #expect(report.drift == [])
        #expect(host.machine.withLock(\.commands).count == 1, "one look at systemd")
    }

    @Test func keepsACertificateThatTheDocumentDoesNotHave() throws {
        let former = try sampleDocument()
        let file = host.paths.envoyFiles + "/" + (try former.keyFile())
        _ = try enrolled(former)
        // The writer has lost the Secret of binding `web`.
        let keeping = try sampleDocument(key: nil)
        // Again and again: what is kept is kept for the next time too.
        for round in 0..<3 {
            let report = try host.apply(keeping)
            #expect(report.outcome == .applied)
            #expect(report.hash == keeping.hash)
            #expect(report.changes == [], "round \(round)")
            #expect(try readFile(file) == Array("KEY\n".utf8))
            #expect(try readFile(host.paths.envoyFiles + "/sds/web.json") != nil)
        }
        // The Secret is well again, with another certificate.
        #expect(try host.apply(try sampleDocument(key: "NEW\n")).outcome == .applied)
        #expect(try readFile(file) == nil)
    }

    @Test func saysWhichCertificatesItCannotKeep() throws {
        #expect(try host.apply(try sampleDocument(key: nil)).missingSecrets == ["web"])
        _ = try enrolled(try sampleDocument())
        let before = try readFile(host.paths.document)
        let more = try sampleBinding("api", 444, tls: sampleTLS(key: nil))
        let report = try host.apply(try sampleDocument(key: nil, more: [more]))
        #expect(report.outcome == .needsSecrets)
        #expect(report.missingSecrets == ["api"])
        #expect(report.changes == [])
        #expect(try readFile(host.paths.document) == before)
    }

    @Test(arguments: ["unit", "file", "stray", "tunnel", "stopped", "disabled", "setting", "mode"])
    func driftIsFoundAndRepaired(_ what: String) throws {
        let document = try sampleDocument()
        _ = try enrolled(document)
        let file = host.paths.envoyFiles + "/cds.pb"
        switch what {
        case "unit": try replaceFile(host.paths.unit(.envoy), [], .publicFile)
        case "file": try replaceFile(file, [], .publicFile)
        case "stray": try replaceFile(host.paths.envoyFiles + "/sds/stray.json", [], .publicFile)
        case "tunnel": host.machine.withLock { $0.hasTunnel = false }
        case "stopped": host.machine.withLock { _ = $0.running.remove(UnitName.envoy.rawValue) }
        case "disabled": host.machine.withLock { _ = $0.enabled.remove(UnitName.boot.rawValue) }
        case "setting": host.machine.withLock { $0.settings["net.core.rmem_max"] = "1000" }
        default: try checkedMode(file, 0o666)
        }
        let report = try host.apply(document)
        #expect(report.outcome == .applied)
        #expect(report.drift != [], "\(what)")
        #expect(report.drift == report.changes)
        #expect(try host.apply(document).changes == [])
    }

    @Test func driftIsToldToAControllerThatCameBackAndNotToAnotherBuild() throws {
        _ = try enrolled(try sampleDocument())
        try replaceFile(host.paths.unit(.envoy), [], .publicFile)
        #expect(try host.apply(try sampleDocument(epoch: 2)).drift == ["tidegate-envoy.service written"])
        try replaceFile(host.paths.unit(.envoy), [], .publicFile)
        try replaceFile(host.paths.document, jsonLine(try sampleDocument(epoch: 2, build: "build0")), .secretFile)
        #expect(try host.apply(try sampleDocument(epoch: 2)).drift == [], "another build's units differ")
    }

    @Test func aRestartThatWasAskedForIsNoDrift() throws {
        _ = try enrolled(try sampleDocument())
        let report = try host.apply(try sampleDocument(restart: "1"))
        #expect(report.changes == ["Envoy restarted (hot): the EdgeNode asked for one"])
        #expect(report.drift == [])
    }

    @Test func whatBootPutBackIsToldOnce() throws {
        let document = try sampleDocument()
        _ = try enrolled(document)
        host.machine.withLock { $0.hasTunnel = false }
        let boot = host.agent.boot()
        #expect(boot.changes != [])
        #expect(
            try host.apply(document).drift == [
                "put back after a start of the host or of wireguard-go: \(boot.changes.joined(separator: "; "))"
            ])
        #expect(try host.apply(document).drift == [])
    }

    @Test func bootDialsTheUplinksWhereTheyWereLast() throws {
        let document = try sampleDocument()
        _ = try enrolled(document)
        let key = try #require(document.content.wireGuard.peers.first?.publicKey)
        let endpoint = WireGuardEndpoint(address: try IPAddress(parsing: "192.0.2.7"), port: try Port(40000))
        host.machine.withLock { $0.peers = [WireGuardPeerStatus(publicKey: key, endpoint: endpoint)] }
        _ = try host.apply(document)
        host.machine.withLock { $0.hasTunnel = false }
        #expect(host.agent.boot().outcome == .applied)
        #expect(host.machine.withLock(\.lastEndpoints) == [key: endpoint])
    }

    @Test(arguments: [
        (age: 181, answers: false, isForgotten: true), (181, true, false), (180, false, false), (-3600, false, false),
    ])
    func anUplinkWhoseSessionIsOverIsForgotten(_ age: Int, _ answers: Bool, _ isForgotten: Bool) throws {
        let document = try sampleDocument()
        _ = try enrolled(document)
        let peer = try #require(document.content.wireGuard.peers.first)
        let handshake = FakeHost.now - Int64(age)
        host.machine.withLock { machine in
            machine.peers = [WireGuardPeerStatus(publicKey: peer.publicKey, lastHandshake: handshake)]
            machine.answering = answers ? [peer.address] : []
        }
        #expect(try host.apply(document).changes == [])
        #expect(host.machine.withLock(\.forgotten) == (isForgotten ? [peer.publicKey] : []))
    }

    private func checkedMode(_ path: String, _ mode: UInt32) throws {
        let status = try #require(try statusOf(path))
        #expect(try adjust(path, status, Access(mode: mode)))
    }

    @Test func newBindingNeitherRestartsNorTouchesOthers() throws {
        _ = try enrolled(try sampleDocument())
        host.machine.withLock { $0.commands = [] }
        let report = try host.apply(try sampleDocument(epoch: 2, more: [sampleBinding("more", 80)]))
        #expect(
            report.changes == [
                "the uplinks' probes written", "Envoy's limits written", "Envoy's clusters written", "Envoy's listeners written",
            ])
        #expect(report.drift == [])
        #expect(!host.machine.withLock(\.commands).contains { $0.contains("systemctl restart") })
    }

    @Test func listenerThatIsRefusedCostsOnlyItself() throws {
        host.machine.withLock { $0.refusedText = "tcp-443" }
        let document = try sampleDocument()
        let report = try enrolled(document)
        #expect(report.outcome == .applied)
        #expect(report.listeners.map(\.state) == [.active, .rejected])
        #expect(report.listeners[1].message?.contains("no such field") == true)
        host.machine.withLock { $0.commands = [] }
        #expect(try host.apply(document).changes == [])
        #expect(!host.machine.withLock(\.commands).contains { $0.contains("validate") }, "not tried again until it changes")
    }

    @Test func listenerThatCannotBindCostsOnlyItself() throws {
        host.machine.withLock { $0.unbindable = ["udp-53": "cannot bind: Address already in use"] }
        let report = try enrolled(try sampleDocument())
        #expect(report.outcome == .applied)
        #expect(report.listeners.map(\.state) == [.rejected, .active])
        #expect(report.listeners[0].message == "cannot bind: Address already in use")
    }

    @Test func portOfAnotherProcessIsNamed() throws {
        let squatter = BoundSocket(
            transport: .tcp, address: try IPAddress(parsing: "127.0.0.1"), port: try Port(443), isConnected: false, uid: 4711,
            inode: 9)
        host.machine.withLock { $0.foreignSockets = [squatter] }
        let document = try sampleDocument()
        let report = try enrolled(document)
        #expect(report.listeners.map(\.state) == [.active, .portInUse])
        #expect(
            report.listeners[1].message
                == "TCP port 443 is taken on the host by nginx (pid 7) at 127.0.0.1:443; stop it there, or choose another listenPort"
        )
        host.machine.withLock { $0.foreignSockets = [] }
        let after = try host.apply(document)
        #expect(after.listeners.map(\.state) == [.active, .active])
        #expect(after.drift == [], "a port that became free is no drift")
    }

    @Test func theHolderOfTheTunnelsPortIsNamed() throws {
        let holder = BoundSocket(
            transport: .udp, address: try IPAddress(parsing: "0.0.0.0"), port: try Port(51821), isConnected: false, uid: 0,
            inode: 9)
        host.machine.withLock { machine in
            machine.foreignSockets = [holder]
            machine.tunnelFailure = "wg-relay: setting it: Address already in use"
        }
        let report = try host.apply(try sampleDocument())
        #expect(report.outcome == .refused)
        #expect(
            report.problems.map(\.message) == [
                "UDP port 51821, the tunnel's, is taken on the host by nginx (pid 7) at 0.0.0.0:51821; stop it there, or set "
                    + "spec.tunnel.listenPort of the EdgeNode to another port"
            ])
        // Where nobody has it the failure speaks for itself.
        host.machine.withLock { $0.foreignSockets = [] }
        #expect(try host.apply(try sampleDocument()).problems.map(\.message) == ["wg-relay: setting it: Address already in use"])
    }

    @Test func aPortBehindTheHostsFirewallIsTold() throws {
        let host = host
        host.machine.withLock { $0.closedPorts = [443, 51821] }
        let document = try sampleDocument()
        let report = try enrolled(document)
        #expect(report.listeners.map(\.state) == [.active, .filtered])
        #expect(report.listeners[1].message == "TCP port 443 is closed")
        #expect(report.tunnelDropped == "UDP port 51821 is closed")
        host.machine.withLock { $0.closedPorts = [] }
        let after = try host.apply(document)
        #expect(after.listeners.map(\.state) == [.active, .active])
        #expect(after.tunnelDropped == nil)
        #expect(after.drift == [] && after.changes == [], "the firewall is left alone")
    }

    /// What no binding can be to blame for.
    @Test func wholeConfigurationRefusedKeepsTheFormerOne() throws {
        let document = try sampleDocument()
        _ = try enrolled(document)
        let before = try readFile(host.paths.envoyFiles + "/cds.pb")
        host.machine.withLock { $0.refusedText = "overload_manager" }
        let report = try host.apply(try sampleDocument(epoch: 2, more: [sampleBinding("more", 80)]))
        #expect(report.outcome == .refused)
        #expect(report.problems.map(\.kind) == [.envoyRejected])
        #expect(report.hash == document.hash)
        #expect(try readFile(host.paths.envoyFiles + "/cds.pb") == before)
    }

    @Test func aClusterThatIsRefusedCostsOnlyItsBinding() throws {
        _ = try enrolled(try sampleDocument())
        host.machine.withLock { $0.refusedText = "broken" }
        let report = try host.apply(try sampleDocument(epoch: 2, more: [sampleBinding("broken", 800)]))
        #expect(report.outcome == .applied)
        #expect(report.listeners.map(\.state) == [.active, .active, .rejected])
        #expect(report.refusedBindings?.keys.sorted() == ["broken"])
    }

    @Test func aSecretThatIsRefusedCostsOnlyItsBinding() throws {
        let other = try sampleBinding("other", 443, tls: RelayTLS(mode: .passthrough, hostnames: ["other.example"]))
        let document = try sampleDocument(more: [other])
        let key = try document.keyFile()
        host.machine.withLock { $0.refusedText = key }
        let report = try enrolled(document)
        #expect(report.outcome == .applied, "\(report.problems)")
        #expect(report.listeners.map(\.state) == [.active, .active])
        #expect(report.refusedBindings?.keys.sorted() == ["web"])
        let file = String(decoding: try readFile(host.paths.envoyFiles + "/lds.pb") ?? [], as: UTF8.self)
        #expect(file.contains("other") && !file.contains("web"), "\(file)")
        host.machine.withLock { $0.commands = [] }
        #expect(try host.apply(document).changes == [])
        #expect(!host.machine.withLock(\.commands).contains { $0.contains("validate") }, "not tried again until it changes")
    }

    /// Certificates are renewed by machines at night.
    @Test func aRenewedSecretThatIsRefusedLeavesTheFormerOneInForce() throws {
        let good = try sampleDocument()
        let goodKey = try good.keyFile()
        _ = try enrolled(good)
        let document = try sampleDocument(epoch: 2, key: "BAD\n")
        let badKey = try document.keyFile()
        host.machine.withLock { $0.refusedText = badKey }
        let bare = { (report: AgentReport) in report.refusedBindings?["web"]?.hasSuffix("stay in force") }
        for _ in 0..<2 {
            let report = try host.apply(document)
            #expect(report.outcome == .applied && bare(report) == true)
            #expect(report.listeners.map(\.state) == [.active, .active])
            let file = String(decoding: try readFile(host.paths.envoyFiles + "/sds/web.json") ?? [], as: UTF8.self)
            #expect(file.contains(goodKey) && !file.contains(badKey))
            #expect(try readFile(host.paths.envoyFiles + "/" + goodKey) != nil)
        }
        #expect(try host.apply(try sampleDocument(epoch: 3, key: "NEW\n")).refusedBindings == nil)
    }

    @Test func restartIsDoneOnce() throws {
        _ = try enrolled(try sampleDocument())
        let asked = try sampleDocument(restart: "2026-01-01")
        let report = try host.apply(asked)
        #expect(report.changes == ["Envoy restarted (hot): the EdgeNode asked for one"])
        #expect(report.envoyRestart?.hasPrefix("Envoy was restarted hot") == true)
        let again = try host.apply(asked)
        #expect(again.changes == [])
        #expect(again.envoyRestart == nil)
        #expect(host.machine.withLock(\.commands).contains { $0.hasSuffix("prlimit --pid 4242 --nofile=69286:69286") })
    }

    @Test func limitThatIsAsItShouldBeIsLeftAlone() throws {
        _ = try enrolled(try sampleDocument())
        let limits =
            "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            69286                69286                files\n"
        try makeFolder(host.folder.path + "/proc/4242", .publicFolder)
        try replaceFile(host.folder.path + "/proc/4242/limits", Array(limits.utf8), .publicFile)
        #expect(try host.apply(try sampleDocument(restart: "1")).envoyRestart != nil)
        #expect(!host.machine.withLock(\.commands).contains { $0.contains("prlimit") })
    }

    @Test func plainRestartSaysWhy() throws {
        _ = try enrolled(try sampleDocument())
        host.machine.withLock { $0.restartOutcome = EnvoyRun.Outcome(kind: .plain, message: "Envoy 1.39.3 is too old") }
        let report = try host.apply(try sampleDocument(restart: "1"))
        #expect(report.envoyRestart?.contains("plainly, and its connections were cut: Envoy 1.39.3 is too old.") == true)
    }

    /// The Envoy that was started before there was a supervisor.
    @Test func unsupervisedEnvoyIsRestartedPlainly() throws {
        _ = try enrolled(try sampleDocument())
        try removeFile(host.paths.envoyRun)
        let report = try host.apply(try sampleDocument(restart: "1"))
        #expect(report.changes == ["Envoy restarted (plain): the EdgeNode asked for one"])
        #expect(host.machine.withLock(\.commands).contains { $0.hasSuffix("systemctl restart tidegate-envoy.service") })
    }

    @Test func failedRestartPutsTheVersionBackAndIsTriedAgain() throws {
        _ = try enrolled(try sampleDocument())
        _ = try host.pushEnvoy("1.41.0")
        host.machine.withLock { $0.restartOutcome = EnvoyRun.Outcome(kind: .failed, message: "Envoy 1.41.0 ended with status 1") }
        let asked = try sampleDocument(version: "1.41.0", restart: "1")
        let report = try host.apply(asked)
        #expect(report.outcome == .refused)
        #expect(report.problems.map(\.kind) == [.envoyNotRunning])
        #expect(report.problems[0].message.contains("ended with status 1"))
        #expect(EnvoyBinary(paths: host.paths).chosen() == "1.40.0")
        host.machine.withLock { $0.restartOutcome = nil }
        #expect(try host.apply(asked).envoyRestart != nil)
    }

    @Test func anotherVersionWaitsForARestart() throws {
        _ = try enrolled(try sampleDocument())
        let newer = try sampleDocument(epoch: 2, version: "1.41.0")
        #expect(try host.apply(newer).outcome == .needsEnvoy)
        #expect(try host.pushEnvoy("1.41.0").outcome == .applied)
        let report = try host.apply(newer)
        #expect(report.changes.contains("Envoy 1.41.0 chosen for its next start"))
        #expect(!report.changes.contains { $0.contains("restarted") })
    }
}
