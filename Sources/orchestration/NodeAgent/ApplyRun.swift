import EnvoyConfig
import Glibc
import HostNetwork
import Logging
import NetworkTypes
import NodeDocument
import RouteNetlink
import Sodium
import WireGuardNetlink

/// One apply: its steps in order, and the report that grows on the way.
struct ApplyRun {
    let host: Host
    private var document: RelayDocument
    /// The document's bytes, as they came until it is whole.
    private var input: [UInt8]
    private(set) var report: AgentReport
    /// The document that was in force before; nil for none.
    private var former: RelayDocument?

    init(host: Host, document: RelayDocument, input: [UInt8]) {
        self.host = host
        self.document = document
        self.input = input
        report = AgentReport(outcome: .refused, agentBuild: host.build)
        report.caveats = host.caveats
    }

    private var content: RelayContent { document.content }

    mutating func run() throws(AgentError) {
        // A damaged one counts as none, and is written anew. Equal bytes need no second reading.
        let stored = (try? readFile(host.paths.document)) ?? nil
        former = stored == input ? document : stored.flatMap { try? DocumentJSON.decode(RelayDocument.self, from: $0) }
        report.hash = former?.hash
        report.epoch = former?.epoch
        var state = try StateFile(host.paths)
        // Also where it is refused: what the writer must rise above.
        report.epoch = state.value.owner == nil ? report.epoch : state.value.epoch
        try checkFence(state.value, owner: document.owner, epoch: document.epoch, writer: document.writer)
        guard try completeSecrets() else {
            report.outcome = .needsSecrets
            return
        }
        try Preflight(host: host).check(documentBytes: input.count)
        try makeFolder(host.paths.settings, .secretFolder)
        state.value.owner = document.owner
        state.value.epoch = document.epoch
        state.value.writer = document.writer
        try state.save()
        try tunnel(state.value.uplinks)
        try settings(&state)
        let account = try account(&state)
        let linkAccount = try linkAccount(&state)
        guardTunnel(account, linkAccount)
        guard try provideEnvoy() else {
            report.outcome = .needsEnvoy
            return
        }
        if let putBack = state.value.putBack {
            report.drift.append("put back after a start of the host or of wireguard-go: \(putBack.joined(separator: "; "))")
            state.value.putBack = nil
        }
        let running = try units()
        // Before Envoy sends connections there.
        let isLinkComplete = try startLinks(linkAccount, &state)
        try rollOut(account, running, &state)
        // After Envoy sends no more.
        if linkAccount == nil { note(try LinkStep(host: host).remove(&state)) }
        if content.link?.takesSSH != true { note(try SSHDoor(host: host).close(&state)) }
        let device = try host.tunnel.status()?.device
        state.value.uplinks = device?.seenUplinks ?? []
        try keep(&state)
        report.outcome = isLinkComplete ? .applied : .needsLink
        let peers = Peers(host: host)
        let word = UplinkWord.read(host.paths)
        let links = content.link.flatMap { _ in LinkStatusFile.read(host.paths) }
        report.problems += links?.problems ?? []
        report.starved = word?.starved(content.envoy.bindings.map(\.name), document: document.uplinkHash) ?? []
        report.peers = peers.report(content, device, word, links)
        try peers.forgetLost(report.peers, content, device, word)
    }

    mutating func bootSteps() throws(AgentError) {
        var state = try StateFile(host.paths)
        // Before there is a tunnel to send into.
        if let account = try EnvoyAccount.find(host.paths) {
            guardTunnel(account, content.link == nil ? nil : try EnvoyAccount.find(host.paths, named: linkUser))
        }
        try tunnel(state.value.uplinks)
        try settings(&state)
        // The next apply tells of it. Whoever deletes the interface makes wireguard-go start anew, and it comes here.
        if !report.changes.isEmpty {
            state.value.putBack = report.changes
            try state.save()
        }
        report.hash = document.hash
        report.epoch = document.epoch
        report.outcome = .applied
    }

    /// Notes what was changed; it is drift when this build had put the same content in force already.
    private mutating func note(_ changes: [String], isDrift: Bool? = nil) {
        for change in changes { host.logger.info("changed", metadata: ["what": "\(change)"]) }
        report.changes += changes
        let isSame =
            former?.hash == document.hash && former?.agentBuild == document.agentBuild
            && former?.uplinkHash == document.uplinkHash
        if isDrift ?? isSame { report.drift += changes }
    }

    // MARK: steps

    /// Takes what the document keeps from the one that is in force.
    /// - Returns: false when the controller must do without some.
    private mutating func completeSecrets() throws(AgentError) -> Bool {
        let (envoy, missing) = content.envoy.withKeptCertificates(of: former?.content.envoy)
        guard missing.isEmpty else {
            report.missingSecrets = missing
            return false
        }
        let link = content.link?.withKeptCertificate(of: former?.content.link)
        guard envoy != content.envoy || link != content.link else { return true }
        document.content.envoy = envoy
        document.content.link = link
        input = try jsonLine(document)
        return true
    }

    private mutating func tunnel(_ seen: [SeenUplink]) throws(AgentError) {
        let (key, isNew) = try RelayKey.ensure(host.paths)
        if isNew { note(["the relay's key made"]) }
        report.relayPublicKey = try RelayKey.publicKey(key)
        report.linkPin = try RelayKey.linkKey(key).pin
        let host = host
        var unitChanges: [String] = []
        let wireGuard = content.wireGuard
        let lastEndpoints = Dictionary(seen.map { ($0.publicKey, $0.endpoint) }, uniquingKeysWith: { first, _ in first })
        let settings = unitSettings()
        // On its way through the tunnel's code the error of the start would lose its kind.
        var refusal: AgentError?
        let result: (kind: Tunnel.Kind, changes: [String])
        do throws(AgentError) {
            result = try host.tunnel.ensure(wireGuard, lastEndpoints, key) { () throws(AgentError) in
                do throws(AgentError) {
                    guard try statusOf(host.paths.tunnelDevice) != nil else {
                        throw AgentError(
                            .unsupportedHost,
                            "the kernel has no WireGuard and the host no /dev/net/tun; have the provider enable one of them")
                    }
                    unitChanges = try UnitFiles(host: host).ensure([.wireGuard], settings).changes
                    try host.services.begin(.wireGuard)
                } catch {
                    refusal = error
                    throw error
                }
            }
        } catch {
            if refusal == nil, error.kind == .wireGuard, let taken = try? tunnelPortTaken() { throw taken }
            throw refusal ?? error
        }
        report.wireGuardKind = result.kind.rawValue
        note(unitChanges + result.changes)
    }

    /// That somebody else has the tunnel's port; nil for nobody.
    private func tunnelPortTaken() throws(AgentError) -> AgentError? {
        let port = content.wireGuard.listenPort
        guard try host.tunnel.status()?.device.listenPort != port.number else { return nil }
        let holders = try host.kernel.sockets().filter { $0.transport == .udp && $0.port == port && !$0.isConnected }
        guard let holder = holders.first else { return nil }
        let name = host.kernel.owners([holder])[holder.inode]
        return AgentError(.wireGuard, PortCheck.tunnelMessage(holder, owner: name))
    }

    private mutating func settings(_ state: inout StateFile) throws(AgentError) {
        let result = try KernelSettings(host: host).apply(WantedSettings(content), &state)
        note(result.changes)
        report.problems += result.problems
        let tracked = [ConnectionTable.countName, ConnectionTable.limitName].map { (try? host.kernel.setting($0)) ?? nil }
        if let problem = ConnectionTable.problem(count: tracked[0], limit: tracked[1]) { report.problems.append(problem) }
    }

    private mutating func account(_ state: inout StateFile) throws(AgentError) -> EnvoyAccount {
        if let account = try EnvoyAccount.find(host.paths) { return account }
        state.value.madeUser = true
        try state.save()
        let account = try EnvoyAccount.make(host)
        note(["the user \(envoyUser) made"])
        return account
    }

    /// The link program's; nil where there are no links.
    private mutating func linkAccount(_ state: inout StateFile) throws(AgentError) -> EnvoyAccount? {
        guard content.link != nil else { return nil }
        let (account, changes) = try LinkStep(host: host).account(&state)
        note(changes)
        return account
    }

    /// - Returns: false when the controller must push the link program. One of another build serves meanwhile.
    private mutating func startLinks(_ account: EnvoyAccount?, _ state: inout StateFile) throws(AgentError) -> Bool {
        guard let link = content.link, let account, let key = try RelayKey.read(host.paths) else { return true }
        let step = LinkStep(host: host)
        let linkKey = try RelayKey.linkKey(key)
        if link.takesSSH { openSSH(link, account, &state) }
        note(try step.files(link, content, linkKey, account))
        let settings = unitSettings()
        let units = try UnitFiles(host: host).ensure([.link], settings)
        note(units.changes)
        guard let build = try LinkProgram(paths: host.paths).installed() else { return false }
        let wanted = LinkStart(build: build, unit: SHA256.digest(of: UnitName.link.text(settings)), pin: linkKey.pin)
        let result = step.run(wanted, units.states[.link], &state)
        note(result.changes, isDrift: result.isDrift)
        report.problems += result.problems
        return link.program.map { $0 == build } ?? true
    }

    /// Where links cannot come by sshd the other carriers serve all the same.
    private mutating func openSSH(_ link: RelayLink, _ program: EnvoyAccount, _ state: inout StateFile) {
        do throws(AgentError) {
            let door = SSHDoor(host: host)
            note(try door.open(link, program: program, &state))
            report.sshObstacle = try door.obstacle()
        } catch {
            report.sshObstacle = error.message
        }
    }

    /// A host whose kernel has no nf_tables serves all the same, and says so.
    private mutating func guardTunnel(_ account: EnvoyAccount, _ link: EnvoyAccount?) {
        do throws(AgentError) {
            note(try host.kernel.guardTunnel(content.wireGuard, account.user, link?.user))
        } catch {
            report.caveats =
                (report.caveats ?? []) + [
                    "every user and container of the VPS can send into the tunnel, for nf_tables cannot be set there (\(error.message))"
                ]
        }
    }

    /// - Returns: false when the controller must push the program.
    private mutating func provideEnvoy() throws(AgentError) -> Bool {
        let release = content.envoy.release
        let binary = EnvoyBinary(paths: host.paths)
        try Incoming.removeStale(host.paths)
        if try !binary.has(release) {
            do throws(AgentError) {
                guard try EnvoyDownload(host: host).run(release) else { return false }
            } catch {
                if error.kind == .diskFull { throw error }
                report.problems.append(error.problem)
                return false
            }
            note(["Envoy \(release.version) installed"])
        }
        if try binary.choose(release.version) { note(["Envoy \(release.version) chosen for its next start"]) }
        return true
    }

    private func unitSettings() -> UnitSettings {
        // A limit beyond what the host gives would differ from that of the running Envoy for ever, and forbid hot restarts.
        let facts = try? host.envoyHost()
        return UnitSettings(
            paths: host.paths, envoy: content.envoy, openFilesLimit: facts?.openFiles ?? 1 << 20, workers: facts?.workers ?? 1,
            takesSSH: content.link?.takesSSH == true)
    }

    /// - Returns: Envoy's unit as systemd sees it; nil when it does not know it.
    private mutating func units() throws(AgentError) -> UnitState? {
        let settings = unitSettings()
        var names: [UnitName] = [.boot, .envoy]
        // Where the interface is there already, nobody asked for its unit yet.
        if report.wireGuardKind == Tunnel.Kind.userspace.rawValue { names.append(.wireGuard) }
        let result = try UnitFiles(host: host).ensure(names, settings)
        note(result.changes)
        return result.states[.envoy]
    }

    private mutating func rollOut(_ account: EnvoyAccount, _ running: UnitState?, _ state: inout StateFile) throws(AgentError) {
        let wanted = EnvoyConfiguration(content, uplinkHash: document.uplinkHash)
        let former = former.map { EnvoyConfiguration($0.content) }
        let served = Set(former?.listeners.map(\.name) ?? []).subtracting(state.value.leftOut)
        let (configuration, facts, crowdedOut) = wanted.fitting(try host.envoyHost(), served: served)
        let noRoom = crowdedOut.isEmpty ? nil : Self.noRoom(crowdedOut, of: wanted, facts)
        if let noRoom { report.problems.append(AgentProblem(kind: .system, message: noRoom)) }
        let connections = facts.connections(atMost: content.envoy.maxConnections)
        if connections < content.envoy.maxConnections {
            report.problems.append(
                AgentProblem(
                    kind: .system,
                    message:
                        "this host lets a service open \(facts.openFiles) files, so Envoy takes \(connections) connections at once and "
                        + "not \(content.envoy.maxConnections): have its provider raise the limit, or lower spec.edge.maxConnections"
                ))
        }
        let taken = PortCheck(configuration.listeners, sockets: try host.kernel.sockets(), envoy: account.user).taken
        let owners = taken.isEmpty ? [:] : host.kernel.owners(Array(taken.values))
        let restart = document.restartEnvoy.map { $0 != state.value.restartDone } ?? false
        var rollout = EnvoyRollout(
            host: host, folder: EnvoyFolder(host.paths, group: account.group), configuration: configuration,
            former: former, isFormerProven: self.former?.agentBuild == document.agentBuild, facts: facts, unit: running,
            launchText: unitSettings().launchText, restartAsked: restart,
            forwarding: ForwardingWait(paths: host.paths, served: served, document: document.uplinkHash))
        let outcome = try rollout.run(omitted: Set(taken.keys), &state)
        let omitted = Set(taken.keys).union(outcome.rejected.keys).union(crowdedOut).union(outcome.unforwarded).sorted()
        note(outcome.changes, isDrift: omitted == state.value.leftOut && !restart ? nil : false)
        state.value.leftOut = omitted
        try take(outcome.refusedBindings, kept: outcome.keptBindings)
        if restart || state.value.restartDone == nil { state.value.restartDone = document.restartEnvoy }
        report.problems += outcome.problems
        report.envoyRestart = outcome.restart
        try clearOldPrograms(outcome.didLaunch ? try host.services.states()[.envoy] : running)
        let left = configuration.listeners.filter { !omitted.contains($0.name) }
        let bound = try boundPorts(left, account, isAccepted: outcome.isAccepted)
        let firewall = FirewallCheck(host: host, content, listeners: left)
        report.tunnelDropped = firewall.tunnel
        report.listeners = wanted.listeners.map { listener in
            if let noRoom, crowdedOut.contains(listener.name) {
                return ListenerReport(name: listener.name, state: .rejected, message: noRoom)
            }
            if let refusal = outcome.rejected[listener.name] {
                return ListenerReport(
                    name: listener.name, state: refusal.isProven ? .rejected : .pending, message: refusal.message)
            }
            if let socket = taken[listener.name] {
                let message = PortCheck.message(listener, socket, owner: owners[socket.inode])
                return ListenerReport(name: listener.name, state: .portInUse, message: message)
            }
            if outcome.unforwarded.contains(listener.name) {
                return ListenerReport(name: listener.name, state: .unforwarded, message: ForwardingWait.message)
            }
            if outcome.isAccepted && bound.contains(listener.name) { return firewall.report(listener) }
            return ListenerReport(
                name: listener.name, state: .pending, message: "Envoy has not opened the port yet; it waits for its uplinks")
        }
    }

    /// Tells of the bindings that Envoy refuses. What one of them goes on with is what the next document may keep.
    private mutating func take(_ refused: [String: EnvoyRefusal], kept: Set<String>) throws(AgentError) {
        guard !refused.isEmpty else { return }
        report.refusedBindings = Dictionary(
            uniqueKeysWithValues: refused.map { name, refusal in
                let goesOn = kept.contains(name) ? "; the certificate and key that it had before stay in force" : ""
                return (name, "Envoy refuses it: \(refusal.message)\(goesOn)")
            })
        if kept.isEmpty { return }
        document.content.envoy = content.envoy.leavingOut(kept, former: former?.content.envoy, hopeless: []).envoy
        input = try jsonLine(document)
    }

    /// For people: which listeners, what limit, what to raise.
    private static func noRoom(_ names: [String], of envoy: EnvoyConfiguration, _ facts: EnvoyHost) -> String {
        let some = names.prefix(3).joined(separator: ", ") + (names.count > 3 ? " and \(names.count - 3) more" : "")
        return "this host lets a service open \(facts.openFiles) files, and a port takes \(facts.workers) of them: "
            + "\(envoy.listeners.count - names.count) of \(envoy.listeners.count) are served, and not \(some); have its provider raise "
            + "the limit (RLIMIT_NOFILE, fs.nr_open), or bind fewer ports"
    }

    /// The listeners whose ports Envoy has. It opens them a moment after it accepted them.
    private func boundPorts(
        _ listeners: [EnvoyListener], _ account: EnvoyAccount, isAccepted: Bool
    ) throws(AgentError) -> Set<String> {
        let deadline = Deadline(milliseconds: isAccepted ? 500 : 0)
        while true {
            let bound = PortCheck(listeners, sockets: try host.kernel.sockets(), envoy: account.user).bound
            guard bound.count < listeners.count, let remaining = deadline.remaining else { return bound }
            // Thousands of sockets take a while to read: a few looks, not a hundred.
            usleep(UInt32(min(remaining, listeners.count > 500 ? 50 : 5)) * 1000)
        }
    }

    private mutating func clearOldPrograms(_ unit: UnitState?) throws(AgentError) {
        let binary = EnvoyBinary(paths: host.paths)
        let run = EnvoyRun.read(host.paths)
        let running = binary.running(run?.serving?.pid ?? unit?.mainPID ?? 0)
        report.envoyVersion = running
        // Those that drain need their files no more, but a crash of the newest is a time to have its predecessor.
        let kept = [content.envoy.release.version, running].compactMap { $0 } + (run?.processes.map(\.version) ?? [])
        let removed = try binary.removeOthers(than: Set(kept))
        note(removed.map { "Envoy \($0) removed" }, isDrift: false)
    }

    /// Writes what was applied, last of all.
    private mutating func keep(_ state: inout StateFile) throws(AgentError) {
        try state.save()
        _ = try ensureFile(host.paths.document, input, .secretFile)
        report.hash = document.hash
        report.epoch = document.epoch
    }
}
