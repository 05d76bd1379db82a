import CLinuxHeaders
import Glibc
import NetworkTypes
import NodeDocument
import Sodium
import Synchronization
import Syscalls
import TestFiles
import Testing
import WireGuardNetlink

@testable import NodeAgent

/// Applies with links, on a played host.
@Suite struct LinkApplyTests {
    let host: FakeHost

    init() throws { host = try FakeHost() }

    private static let sshKey = SSHPublicKey("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f")

    private func document(
        carriers: [TunnelCarrier]? = [.wireGuard, .tls], program: String? = "link1", more: [RelayBinding] = []
    ) throws -> RelayDocument {
        var document = try sampleDocument(more: more)
        document.content.wireGuard.peers = [
            RelayPeer(ordinal: 0, publicKey: try publicKey(of: 1), address: try IPv4Address(parsing: "10.200.0.2"))
        ]
        document.content.link = carriers.map { carriers in
            RelayLink(
                carriers: carriers, listenPort: .defaultLink, hostname: "links.test", path: "/secret",
                uplinks: [
                    LinkedUplink(
                        ordinal: 0, address: LinkedUplink.address(ofOrdinal: 0), pin: SHA256.digest(of: "uplink"),
                        sshKey: carriers.contains(.ssh) ? Self.sshKey : nil)
                ],
                program: program)
        }
        document.hash = try document.content.digest()
        return document
    }

    private func enrolled(_ document: RelayDocument) throws -> AgentReport {
        #expect(try host.apply(document).outcome == .needsEnvoy)
        #expect(try host.pushEnvoy().outcome == .applied)
        #expect(try host.apply(document).outcome == .needsLink)
        #expect(try host.pushLink("link1").outcome == .applied)
        return try host.apply(document)
    }

    private var commands: [String] { host.machine.withLock(\.commands) }
    private var isRunning: Bool { host.machine.withLock { $0.running.contains(UnitName.link.rawValue) } }

    @Test func allIsDoneButTheProgramUntilItIsPushed() throws {
        let document = try document()
        _ = try host.apply(document)
        _ = try host.pushEnvoy()
        let report = try host.apply(document)
        #expect(report.outcome == .needsLink)
        #expect(report.hash == document.hash, "Envoy serves")
        #expect(report.listeners.map(\.state) == [.active, .active])
        #expect(!isRunning)
        #expect(try host.pushLink("link1").changes == ["the link program link1 installed"])
        let whole = try host.apply(document)
        #expect(whole.outcome == .applied && whole.problems == [] && whole.drift == [])
        #expect(whole.changes == ["the link program started"])
        #expect(isRunning)
        #expect(try host.apply(document).changes == [])
        #expect(try namesInFolder(host.paths.programs).filter { $0.hasPrefix(".") } == [])
    }

    @Test func theProgramGetsItsFilesAndKey() throws {
        let report = try enrolled(try document(more: [sampleBinding("new", 20_001)]))
        let text = try #require(try readFile(host.paths.linkFiles + "/link.json"))
        let served = try DocumentJSON.decode(LinkServiceFile.self, from: text, within: LinkServiceFile.bounds)
        #expect(served.tcpPorts.map(\.number) == [443, 20_001, 40_500] && served.udpPorts.map(\.number) == [53])
        #expect(served.carriers == [.tls] && served.path == "/secret")
        let seed = try #require(try readFile(host.paths.linkKey))
        #expect(LinkPrivateKey(secret: try SecretBytes(copying: seed))?.pin == report.linkPin)
        #expect(try statusOf(host.paths.linkKey).map { $0.st_mode & 0o7777 } == 0o640)
        #expect(try statusOf(host.paths.linkFiles).map { $0.st_mode & 0o7777 } == 0o750)
        #expect(host.machine.withLock(\.linksGuardedFor) == getuid(), "the played user of the link program")
        #expect(host.agent.status().linkPin == report.linkPin)
    }

    @Test func thePinIsToldWithoutLinksToo() throws {
        let report = try host.apply(try sampleDocument())
        #expect(report.linkPin != nil)
        #expect(try statusOf(host.paths.linkKey) == nil)
        #expect(host.agent.status().linkPin == report.linkPin)
    }

    @Test(arguments: ["stopped", "key", "file", "unit", "table"]) func driftIsPutRight(what: String) throws {
        let document = try document()
        _ = try enrolled(document)
        switch what {
        case "stopped": host.machine.withLock { _ = $0.running.remove(UnitName.link.rawValue) }
        case "key": try replaceFile(host.paths.linkKey, [1], .publicFile)
        case "file": try removeTree(host.paths.linkFiles)
        case "unit": try replaceFile(host.paths.unit(.link), [], .publicFile)
        default: host.machine.withLock { $0.linksGuardedFor = nil }
        }
        let report = try host.apply(document)
        // With its folder the key goes too.
        #expect(report.outcome == .applied && report.drift.count == (what == "file" ? 2 : 1), "\(report.drift)")
        #expect(isRunning)
        #expect(try host.apply(document).changes == [])
    }

    @Test func aNewBuildTakesOverAndABrokenProgramIsAskedForAgain() throws {
        _ = try enrolled(try document())
        let next = try document(program: "link2")
        let report = try host.apply(next)
        #expect(report.outcome == .needsLink && report.changes == [])
        #expect(isRunning, "the former serves meanwhile")
        #expect(try host.pushLink("link2").outcome == .applied)
        host.machine.withLock { $0.commands = [] }
        let after = try host.apply(next)
        #expect(after.outcome == .applied && after.drift == [])
        #expect(after.changes == ["the link program link2 takes over from link1"])
        #expect(commands.contains { $0.contains("kill --kill-who=main --signal=HUP tidegate-link.service") })
        // Somebody writes into the program.
        try replaceFile(host.paths.linkProgram, Array("broken".utf8), .publicFile)
        #expect(try host.apply(next).outcome == .needsLink)
    }

    @Test func aNewKeyIsTakenOverByAProgramBesideTheFormer() throws {
        let document = try document()
        _ = try enrolled(document)
        try removeFile(host.paths.relayKey)
        host.machine.withLock { $0.commands = [] }
        let report = try host.apply(document)
        #expect(report.changes.contains("the link program link1 takes over from itself with another key"), "\(report.changes)")
        #expect(commands.contains { $0.contains("kill --kill-who=main --signal=HUP tidegate-link.service") })
        #expect(!commands.contains { $0.contains("restart tidegate-link.service") })
    }

    @Test func nothingStaysWithoutLinks() throws {
        _ = try enrolled(try document())
        let report = try host.apply(try document(carriers: nil))
        #expect(report.outcome == .applied && report.problems == [] && report.drift == [])
        #expect(!isRunning)
        let paths = host.paths
        for path in [paths.linkFiles, paths.linkKey, paths.linkProgram, paths.linkRecord, paths.unit(.link)] {
            #expect(try statusOf(path) == nil, "\(path)")
        }
        #expect(try EnvoyAccount.find(paths, named: linkUser) == nil)
        #expect(try EnvoyAccount.find(paths) != nil)
        #expect(host.machine.withLock(\.linksGuardedFor) == nil)
        #expect(try host.apply(try document(carriers: nil)).changes == [])
    }

    @Test func teardownTakesLinksToo() throws {
        _ = try enrolled(try document())
        let report = host.agent.teardown([])
        #expect(report.outcome == .applied && report.changes.contains("the user tidegate-link removed"))
        #expect(!isRunning)
        #expect(try statusOf(host.paths.unit(.link)) == nil && statusOf(host.paths.settings) == nil)
    }

    @Test func whatIsPushedIsChecked() throws {
        for report in [
            try host.pushLink("link1", { $0.length += 1 }), try host.pushLink("link1", { $0.sha256 = SHA256.digest(of: "x") }),
            try host.pushLink("../link"), try host.pushLink("link1", { $0.length = 0 }),
            try host.pushLink("link1", { $0.length = .max }),
        ] {
            #expect(report.outcome == .refused)
            #expect(try namesInFolder(host.paths.programs).filter { $0.hasPrefix(".") || $0.hasPrefix("edge-link") } == [])
        }
        #expect(try host.pushLink("link1", packed: false).outcome == .applied, "a shell on the way may have unpacked it")
    }

    @Test func linksAreToldOfEachUplink() throws {
        let document = try document(carriers: [.tls])
        _ = try enrolled(document)
        try makeFolder(host.paths.linkRuntime, .publicFolder)
        func tell(_ refused: [String] = []) throws {
            let link = LinkStatusFile.Link(
                peer: "192.0.2.7:1", build: "b", roundTripMicroseconds: 900, streams: 2, receivedBytes: 3, sentBytes: 4)
            let uplink = LinkStatusFile.Uplink(
                ordinal: 0, address: LinkedUplink.address(ofOrdinal: 0), isReady: true, links: [link], refusedPorts: refused)
            try replaceFile(host.paths.linkStatus, try jsonLine(LinkStatusFile(build: "link1", uplinks: [uplink])), .publicFile)
        }
        try tell()
        host.machine.withLock { $0.answering = [LinkedUplink.address(ofOrdinal: 0)] }
        let report = try host.apply(document)
        let expected = LinkReport(count: 1, roundTripMicroseconds: 900, streams: 2, receivedBytes: 3, sentBytes: 4)
        #expect(report.peers.map(\.links) == [expected] && report.problems == [])
        #expect(report.peers[0].uplink != nil, "it is asked by its link, though it has no session of WireGuard")
        try tell(["tcp 443: address in use\u{1B}"])
        let problem = try #require(try host.apply(document).problems.first)
        #expect(problem.message.contains("tcp 443: address in use") && !problem.message.contains("\u{1B}"))
        try replaceFile(host.paths.linkStatus, Array("[]".utf8), .publicFile)
        #expect(try host.apply(document).peers.map(\.links) == [nil])
    }

    // MARK: by sshd

    private func mode(_ path: String) throws -> mode_t? { try statusOf(path).map { $0.st_mode & 0o7777 } }

    @Test func linksBySSHHaveAUserOfTheirOwn() throws {
        let document = try document(carriers: [.ssh])
        let report = try enrolled(document)
        #expect(report.outcome == .applied && report.problems == [] && report.sshObstacle == nil)
        let paths = host.paths
        #expect(try mode(paths.sshHome) == 0o755 && mode(paths.sshSettings) == 0o750 && mode(paths.sshKeys) == 0o640)
        #expect(try mode(folderPart(of: paths.sshSocket)) == 0o2710)
        let keys = String(decoding: try #require(try readFile(paths.sshKeys)), as: UTF8.self).split(separator: "\n")
        #expect(keys.count == 2 && keys[0].hasPrefix("#"))
        let key = try #require(Self.sshKey)
        #expect(keys.last == "\(SSHDoor.options(socket: paths.sshSocket)) \(key) uplink-0")
        let text = try #require(try readFile(paths.linkFiles + "/link.json"))
        let served = try DocumentJSON.decode(LinkServiceFile.self, from: text, within: LinkServiceFile.bounds)
        #expect(served.carriers == [.ssh] && served.socket == paths.sshSocket)
        let unit = String(decoding: try #require(try readFile(paths.unit(.link))), as: UTF8.self).split(separator: "\n")
        #expect(unit.contains("ReadWritePaths=-\(folderPart(of: paths.sshSocket))"))
        #expect(commands.contains { $0.contains("--home-dir \(paths.sshHome) ") && $0.hasSuffix("--password * tidegate-ssh") })
        #expect(document.content.listeners.filter(\.takesLinks) == [], "Envoy has no part in it")
        #expect(try host.apply(document).changes == [])
    }

    @Test(arguments: ["keys", "folder", "mode"]) func theDoorForSSHIsPutRight(what: String) throws {
        let document = try document(carriers: [.ssh])
        _ = try enrolled(document)
        switch what {
        case "keys": try replaceFile(host.paths.sshKeys, Array("ssh-ed25519 AAAA thief\n".utf8), .publicFile)
        case "folder": try removeTree(folderPart(of: host.paths.sshSocket))
        default: chmod(host.paths.sshKeys, 0o666)
        }
        #expect(try host.apply(document).drift.count == 1)
        #expect(try host.apply(document).changes == [])
    }

    @Test func whatSSHDForbidsIsTold() throws {
        let document = try document(carriers: [.tls, .ssh])
        host.machine.withLock { $0.sshd = "allowstreamlocalforwarding no\n" }
        #expect(try enrolled(document).sshObstacle?.contains("set AllowStreamLocalForwarding local") == true)
        #expect(host.agent.status().sshObstacle?.contains("AllowStreamLocalForwarding") == true)
        host.machine.withLock { $0.sshd = nil }
        #expect(try host.apply(document).sshObstacle == nil, "what cannot be told is no obstacle")
        try removeFile(host.folder.path + findProgram("sshd"))
        #expect(try host.apply(document).sshObstacle?.contains("OpenSSH") == true)
    }

    @Test func aUserOfThatNameThatIsNotOursIsLeftAlone() throws {
        let passwd = try #require(try readFile(host.paths.passwd))
        try replaceFile(host.paths.passwd, passwd + Array("tidegate-ssh:x:1:1::/home/x:/bin/sh\n".utf8), .publicFile)
        let report = try enrolled(try document(carriers: [.tls, .ssh]))
        #expect(report.outcome == .applied && report.sshObstacle?.contains("another home, /home/x") == true)
        #expect(try statusOf(host.paths.sshKeys) == nil)
        #expect(host.agent.teardown([]).outcome == .applied)
        #expect(try EnvoyAccount.find(host.paths, named: "tidegate-ssh") != nil)
    }

    @Test(arguments: [true, false]) func nothingStaysWithoutSSH(isTeardown: Bool) throws {
        _ = try enrolled(try document(carriers: [.ssh, .tls]))
        let report = try isTeardown ? host.agent.teardown([]) : host.apply(try document(carriers: [.tls]))
        #expect(report.outcome == .applied && report.drift == [])
        #expect(report.changes.contains("the user tidegate-ssh removed"))
        #expect(try statusOf(host.paths.sshHome) == nil && EnvoyAccount.find(host.paths, named: "tidegate-ssh") == nil)
        if !isTeardown { #expect(isRunning) }
    }

    @Test(
        arguments: [
            ("", nil), ("allowusers root tidegate-*\n", nil), ("allowusers root\nallowusers tidegate-ssh@10.*\n", nil),
            ("allowusers root\nallowusers admin\n", "AllowUsers"), ("denyusers tidegate-?sh\n", "DenyUsers"),
            ("denyusers tidegate-ssh@10.*\n", nil), ("allowgroups sudo\n", "AllowGroups"), ("denygroups *\n", "DenyGroups"),
            ("pubkeyauthentication no\n", "PubkeyAuthentication"), ("disableforwarding yes\n", "DisableForwarding"),
            ("allowstreamlocalforwarding remote\n", "AllowStreamLocalForwarding"), ("allowstreamlocalforwarding all\n", nil),
            ("allowtcpforwarding no\n", nil), ("authorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2\n", nil),
            ("authorizedkeysfile /etc/ssh/keys/%u\n", "AuthorizedKeysFile"), ("authenticationmethods any\n", nil),
            ("authenticationmethods publickey,keyboard-interactive\n", "AuthenticationMethods"),
            ("authenticationmethods publickey,password publickey\n", nil),
            ("pubkeyacceptedalgorithms rsa-sha2-512,ssh-ed25519\n", nil),
            ("pubkeyacceptedkeytypes rsa-sha2-512,ssh-ed25519-cert-v01@openssh.com\n", "PubkeyAcceptedAlgorithms"),
            ("chrootdirectory none\n", nil), ("chrootdirectory /srv\n", "ChrootDirectory"),
        ] as [(String, String?)])
    func settingsOfSSHD(text: String, setting: String?) {
        let obstacle = SSHDSettings(text).obstacle(user: "tidegate-ssh", home: "/var/lib/tidegate-ssh")
        #expect((obstacle == nil) == (setting == nil), "\(obstacle ?? "")")
        if let setting { #expect(obstacle?.contains(setting) == true, "\(obstacle ?? "")") }
    }

    /// Its clock may have been ahead; by links it answers all the while.
    @Test func aLostSessionIsForgottenThoughLinksAnswer() throws {
        let document = try document()
        _ = try enrolled(document)
        let old = WireGuardPeerStatus(
            publicKey: try publicKey(of: 1), lastHandshake: FakeHost.now - 500, receivedBytes: 0, sentBytes: 0)
        host.machine.withLock { $0.peers = [old] }
        try makeFolder(host.paths.runtime, .publicFolder)
        let word = UplinkWord(
            uplinks: [
                (document.content.wireGuard.peers[0].address, UplinkWord.Entry.Health.silent),
                (LinkedUplink.address(ofOrdinal: 0), .healthy),
            ]
            .map { UplinkWord.Entry(ordinal: 0, address: $0, health: $1, forwardsAll: true) })
        try replaceFile(host.paths.uplinkWord, try jsonLine(word), .publicFile)
        _ = try host.apply(document)
        #expect(host.machine.withLock(\.forgotten) == [try publicKey(of: 1)])
    }

    @Test(
        arguments: [
            ([.tls], [51821], nil), ([.tls], [443], "TCP port 443 is closed"),
            ([.wireGuard, .tls], [51821], "UDP port 51821 is closed"),
            ([.wireGuard, .tls], [51821, 443], "UDP port 51821 is closed; TCP port 443 is closed"),
        ] as [([TunnelCarrier], Set<UInt16>, String?)])
    func aFirewallMattersWhereUplinksDial(carriers: [TunnelCarrier], closed: Set<UInt16>, message: String?) throws {
        host.machine.withLock { $0.closedPorts = closed }
        #expect(try enrolled(try document(carriers: carriers)).tunnelDropped == message)
    }
}
