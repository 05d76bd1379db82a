import CLinuxHeaders
import EnvoyConfig
import Glibc
public import Logging
import NetworkTypes
import NodeDocument
import Syscalls

/// `edge-agent probe-uplinks`: asks the uplinks as `UplinkWatch` decides, and writes `UplinkWord`. It tells the Envoys of this host of their
/// uplinks (EDS over ADS on a socket), and of the clusters and listeners in their folder (CDS and LDS on another); what they say of these
/// is `EnvoyWord`. The supervisor of Envoy starts it, in the folder that Envoy reads, as Envoy's user.
///
/// It is a process of its own, for it reads what an Envoy and uplinks say: if it should ever fall, Envoys serve on with what they know.
public struct RunProber {
    private let logger: Logger
    private var watch: UplinkWatch
    /// Where Envoys ask for endpoints, and where for clusters and listeners.
    private var listeners: (endpoints: Descriptor, resources: Descriptor)?
    private var envoys: [EnvoyPeer] = []
    private var sets = ResourceFiles()
    private var exchanges: [Int: (kind: Kind, exchange: HTTPExchange)] = [:]
    private var probesStatus: FileStamp?
    private var toldRevision = -1
    private var loggedHealth: [IPv4Address: UplinkWatch.Health] = [:]
    private var written: EnvoyWord?
    /// Whether some Envoy answered, came or went since, or there is something else to tell.
    private var isEnvoyWordDue = true
    /// What the supervisor says of the Envoys; nil when it says nothing.
    private var supervised: EnvoyRun?
    private var runStatus: FileStamp?
    private var touchedAt: Int64 = 0
    private var lookedAt: Int64 = 0
    /// Tells when a file is put into the folder; nil where the kernel has no inotify instance left.
    private var folderWatch: Descriptor?

    private enum Kind { case probe, fetch }

    /// Three connections each: of two generations that hand over, one that drains, and somebody who looks.
    private static let envoyLimit = 12
    /// Milliseconds between two looks at the folder where nothing tells of a change.
    private static let lookInterval: Int64 = 250
    /// Bytes of an answer to a probe, and to `/status`.
    private static let probeLimit = 16 << 10
    private static let statusLimit = 4 << 20
    /// Bytes of the file of the probes.
    private static let probesLimit = 16 << 20

    /// Beside the folder that Envoy reads.
    private static let word = "../uplinks.json"
    private static let brief = "../uplinks-brief.json"
    private static let envoyWord = "../envoy-word.json"
    private static let envoyRun = "../envoy.json"

    public init(logger: Logger) {
        self.logger = logger
        watch = UplinkWatch(
            UplinkProbes(
                probing: UplinkProbing(intervalMilliseconds: 1000, timeoutMilliseconds: 2000, unhealthyThreshold: 2), uplinks: [],
                tunnelPorts: [:]),
            now: 0)
    }

    /// Until it is killed, or its parent ends.
    public mutating func run() throws(AgentError) {
        _ = tidegate_prctl(PR_SET_PDEATHSIG, UInt(SIGKILL))
        // Its parent was sooner.
        if getppid() == 1 { return }
        guard let probes = try readProbes() else {
            throw AgentError(
                .system, "there is no \(UplinkProbes.fileName) in this folder: it is to be run by edge-agent run-envoy")
        }
        watch = UplinkWatch(probes, now: monotonicMilliseconds())
        listeners = (try listen(EnvoyPath.discoverySocket), try listen(EnvoyPath.resourceSocket))
        folderWatch = try? Descriptor("inotify_init1") { inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC)) }
        if let folderWatch { inotify_add_watch(folderWatch.number, ".", UInt32(IN_MOVED_TO)) }
        while true {
            let now = monotonicMilliseconds()
            try look(now)
            perform(watch.handle(.tick, now: now))
            tell()
            try writeWord(now)
            try writeEnvoyWord()
            wait(until: min(watch.wakeUp(now: now), now + Self.lookInterval))
        }
    }

    // MARK: the probes' file

    private mutating func readProbes() throws(AgentError) -> UplinkProbes? {
        guard let stamp = try statusOf(UplinkProbes.fileName).map(FileStamp.init), stamp != probesStatus else { return nil }
        guard let bytes = try readFile(UplinkProbes.fileName, limit: Self.probesLimit) else { return nil }
        probesStatus = stamp
        do throws(DocumentError) {
            return try DocumentJSON.decode(UplinkProbes.self, from: bytes)
        } catch {
            throw AgentError(.badDocument, "\(UplinkProbes.fileName): \(error.message)")
        }
    }

    /// Looks whether the file changed: now and then, and at once when an Envoy waits for a binding that is not in it.
    private mutating func look(_ now: Int64) throws(AgentError) {
        let isMissing = envoys.contains(where: \.isWaiting)
        guard isMissing || hasFolderChanged() || now - lookedAt >= Self.lookInterval else { return }
        lookedAt = now
        do throws(AgentError) {
            if let probes = try readProbes() { perform(watch.set(probes, now: now)) }
        } catch {
            logger.error("the probes stay as they were", metadata: ["cause": "\(error.message)"])
        }
        readRun()
        let changes = sets.look()
        isEnvoyWordDue = isEnvoyWordDue || changes.isChanged
        for complaint in changes.complaints {
            logger.error("what Envoy is told of stays as it was", metadata: ["cause": "\(complaint)"])
        }
    }

    private mutating func readRun() {
        guard let stamp = try? statusOf(Self.envoyRun).map(FileStamp.init), stamp != runStatus else { return }
        runStatus = stamp
        supervised = EnvoyRun.read(Self.envoyRun)
    }

    private func hasFolderChanged() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 4096)
        var hasChanged = false
        while let count = try? folderWatch?.read(into: &buffer), count > 0 { hasChanged = true }
        return hasChanged
    }

    // MARK: uplinks

    private mutating func perform(_ actions: [UplinkWatch.Action]) {
        for action in actions {
            switch action {
            case .drop(let id): exchanges[id] = nil
            case .probe(let id, let address): ask(id, .probe, "/ready", address, Self.probeLimit)
            case .fetch(let id, let address): ask(id, .fetch, "/status", address, Self.statusLimit)
            }
        }
    }

    private mutating func ask(_ id: Int, _ kind: Kind, _ path: String, _ address: IPv4Address, _ limit: Int) {
        exchanges[id] = (kind, HTTPExchange(.address(address, .uplinkReadiness), path: path, limit: limit))
    }

    private mutating func finish(_ id: Int, _ now: Int64) {
        guard let (kind, exchange) = exchanges[id], let result = exchange.result else { return }
        exchanges[id] = nil
        switch kind {
        case .probe:
            // No way there is as good as silence: a link that is down for a moment answers so.
            let answer: UplinkWatch.Answer? =
                switch result {
                case .success(let reply): .status(reply.status, reply.statusNumber, reply.document)
                case .failure: exchange.isUnreachable ? nil : .refused
                }
            if let answer { perform(watch.handle(.answered(id: id, answer), now: now)) }
        case .fetch:
            var report: UplinkReport?
            if case .success(let reply) = result, reply.status == 200 {
                report = try? DocumentJSON.decode(UplinkReport.self, from: reply.body, within: .ofUplink)
            }
            perform(watch.handle(.fetched(id: id, report), now: now))
        }
    }

    /// Says of which ways to uplinks the health changed.
    private mutating func logHealth() {
        for uplink in watch.uplinks where loggedHealth[uplink.address] != uplink.health {
            logger.info(
                "uplink",
                metadata: ["ordinal": "\(uplink.ordinal)", "address": "\(uplink.address)", "health": "\(uplink.health)"])
        }
        loggedHealth = Dictionary(watch.uplinks.map { ($0.address, $0.health) }, uniquingKeysWith: { _, last in last })
    }

    // MARK: Envoys

    private mutating func tell() {
        for envoy in envoys {
            let replaced = envoy.takeReplaced()
            for other in envoys where other.pid == envoy.pid { other.noteReplaced(replaced) }
        }
        for envoy in envoys { envoy.tell(watch, told(envoy)) }
        if envoys.contains(where: \.isOver) {
            envoys.removeAll { $0.isOver }
            isEnvoyWordDue = true
        }
    }

    /// An Envoy hears of listeners when it has the clusters that these send to; one that is to be replaced, or was, of nothing new: while it
    /// takes up thousands of listeners it has no time for the questions of its successor, and one that drains opens none.
    private func told(_ envoy: EnvoyPeer) -> [String: ResourceSet] {
        if supervised?.isReplaced(envoy.pid) == true { return [:] }
        let clusters = sets.byType[ResourceSet.clusterType]
        let isBehind = envoys.contains { $0.pid == envoy.pid && $0.isBehind(clusters) }
        return isBehind ? sets.byType.filter { $0.key == ResourceSet.clusterType } : sets.byType
    }

    private mutating func writeEnvoyWord() throws(AgentError) {
        guard isEnvoyWordDue else { return }
        isEnvoyWordDue = false
        let word = EnvoyWord(envoys, sets.byType)
        if word == written { return }
        try replaceFile(Self.envoyWord, try jsonLine(word), .secretFile)
        written = word
    }

    /// Writes what changed; the file's time says that this process lives.
    private mutating func writeWord(_ now: Int64) throws(AgentError) {
        if toldRevision != watch.revision {
            logHealth()
            try replaceFile(Self.brief, try jsonLine(UplinkWord(watch, isBrief: true)), .secretFile)
            try replaceFile(Self.word, try jsonLine(UplinkWord(watch)), .secretFile)
            toldRevision = watch.revision
            touchedAt = now
        } else if now - touchedAt >= 1000 {
            for file in [Self.brief, Self.word] { utimensat(AT_FDCWD, file, nil, AT_SYMLINK_NOFOLLOW) }
            touchedAt = now
        }
    }

    // MARK: waiting

    private mutating func wait(until moment: Int64) {
        let asked = exchanges.filter { $0.value.exchange.result == nil }.map { (id: $0.key, exchange: $0.value.exchange) }
        for id in exchanges.keys where exchanges[id]?.exchange.result != nil { finish(id, monotonicMilliseconds()) }
        let isFull = envoys.count >= Self.envoyLimit
        var entries = [isFull ? nil : listeners?.endpoints, isFull ? nil : listeners?.resources, folderWatch].map {
            pollfd(fd: $0?.number ?? -1, events: Int16(POLLIN), revents: 0)
        }
        let others = entries.count
        entries += envoys.map { pollfd(fd: $0.descriptor, events: $0.awaited, revents: 0) }
        entries += asked.map { pollfd(fd: $0.exchange.descriptor, events: $0.exchange.awaited, revents: 0) }
        let deadline = ContinuousClock.now + .milliseconds(max(0, moment - monotonicMilliseconds()))
        guard (try? poll(&entries, until: deadline)) == true else { return }
        for (index, entry) in entries.dropFirst(others).prefix(envoys.count).enumerated() where entry.revents != 0 {
            isEnvoyWordDue = true
            if let complaint = envoys[index].advance() {
                logger.warning("Envoy's stream", metadata: ["cause": "\(complaint)"])
            }
        }
        for ((id, exchange), entry) in zip(asked, entries.dropFirst(others + envoys.count)) where entry.revents != 0 {
            exchange.advance()
            finish(id, monotonicMilliseconds())
        }
        if entries[0].revents != 0 { accept(listeners?.endpoints, .endpoints(EndpointStream())) }
        if entries[1].revents != 0 { accept(listeners?.resources, .resources(ResourceStream())) }
    }

    private mutating func accept(_ listener: Descriptor?, _ role: EnvoyPeer.Role) {
        if let connection = try? listener?.accept() { envoys.append(EnvoyPeer(connection, role)) }
    }
}

private func listen(_ path: String) throws(AgentError) -> Descriptor {
    unlink(path)
    let listener = try attempting("opening a socket") { () throws(SystemFailure) in
        try Descriptor.socket(AF_UNIX, isWaiting: false)
    }
    let address = try unixAddress(path)
    try attempting("listening on \(path)") { () throws(SystemFailure) in
        // For this user alone: it is that of every Envoy that may ask.
        try listener.bind(to: address, mode: 0o600)
        try listener.listen(backlog: 8)
    }
    return listener
}
