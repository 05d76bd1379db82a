import NetworkTypes

/// What the report of one VPS may hold: it may be anybody's by now. Its length, depth and count are checked before it is decoded, and of
/// what it says only that is kept which the document it answers speaks of, each text cut and without what steers a terminal.
public struct ReportBounds: Sendable {
    private var listeners: Set<String>
    private var bindings: Set<String>
    private var peers: Set<String>

    /// Of a report that speaks of nothing but itself.
    public static let ofTeardown = ReportBounds(listeners: [], bindings: [], peers: [])

    private init(listeners: Set<String>, bindings: Set<String>, peers: Set<String>) {
        self.listeners = listeners
        self.bindings = bindings
        self.peers = peers
    }

    /// Of the report that answers this document.
    public init(of content: RelayContent) {
        self.init(
            listeners: Set(content.listeners.map(\.name)), bindings: Set(content.envoy.bindings.map(\.name)),
            peers: Set(content.wireGuard.peers.map { "\($0.publicKey)" }))
    }

    /// Also of what a former document spoke of.
    public func widened(by former: ReportBounds) -> ReportBounds {
        ReportBounds(
            listeners: listeners.union(former.listeners), bindings: bindings.union(former.bindings),
            peers: peers.union(former.peers))
    }

    /// Uplinks may still speak of a former document's bindings, whatever their number.
    private static let leastBytes = 1 << 20
    private static let leastValues = 40_000
    private static let mostBytes = 16 << 20
    /// Kept of each list of texts.
    private static let mostTexts = 32
    /// Characters kept of a sentence, and of a word.
    private static let sentence = 1000
    private static let word = 100
    /// Seconds. No handshake is older than the protocol's first release.
    private static let longestAge = 315_360_000

    /// The longest report that is read.
    public var bytes: Int {
        let names = bindings.reduce(0) { $0 + $1.utf8.count }
        let whole = listeners.count * 600 + (peers.count + 1) * (2048 + names + bindings.count * 300)
        return min(Self.mostBytes, max(Self.leastBytes, whole))
    }

    private var values: Int {
        max(Self.leastValues, 1000 + listeners.count * 8 + peers.count * (50 + bindings.count * 8))
    }

    /// - Throws: `DocumentError` that says which bound it breaks, or what is wrong with it.
    public func report(from bytes: some Collection<UInt8>) throws(DocumentError) -> AgentReport {
        try check(bytes)
        return kept(try DocumentJSON.decode(AgentReport.self, from: bytes))
    }

    /// - Throws: `DocumentError` where decoding it would cost more than a report may.
    public func check(_ bytes: some Collection<UInt8>) throws(DocumentError) {
        if let excess = JSONBounds(bytes: self.bytes, values: values).excess(in: bytes) {
            throw DocumentError(message: "more than a report may be: \(excess)")
        }
    }

    /// What is kept of a report.
    func kept(_ report: AgentReport) -> AgentReport {
        var kept = report
        kept.agentBuild = Self.text(report.agentBuild, Self.word)
        kept.changes = Self.texts(report.changes)
        kept.drift = Self.texts(report.drift)
        // The cause comes last.
        kept.problems = report.problems.suffix(Self.mostTexts).map {
            AgentProblem(kind: $0.kind, message: Self.text($0.message, Self.sentence))
        }
        kept.wireGuardKind = report.wireGuardKind.map { Self.text($0, Self.word) }
        kept.envoyVersion = report.envoyVersion.map { Self.text($0, Self.word) }
        kept.envoyRestart = report.envoyRestart.map { Self.text($0, Self.sentence) }
        // Together they stand in a condition, which may have 32,768 characters.
        kept.caveats = report.caveats.map { $0.prefix(8).map { Self.text($0, Self.sentence) } }
        kept.tunnelDropped = report.tunnelDropped.map { Self.text($0, Self.sentence) }
        kept.sshObstacle = report.sshObstacle.map { Self.text($0, Self.sentence) }
        kept.sshHostKey = nil
        kept.missingSecrets = report.missingSecrets?.filter(bindings.contains)
        kept.starved = Self.unique(report.starved.filter(bindings.contains)) { $0 }
        kept.listeners = Self.unique(report.listeners.filter { listeners.contains($0.name) }, by: \.name).map {
            ListenerReport(name: $0.name, state: $0.state, message: $0.message.map { Self.text($0, Self.sentence) })
        }
        kept.peers = Self.unique(report.peers.filter { peers.contains("\($0.publicKey)") }) { "\($0.publicKey)" }.map(self.kept)
        return kept
    }

    private func kept(_ peer: PeerReport) -> PeerReport {
        var kept = peer
        kept.handshakeAge = Self.age(peer.handshakeAge)
        guard var uplink = peer.uplink else { return kept }
        uplink.handshakeAge = Self.age(uplink.handshakeAge)
        uplink.reason = uplink.reason.map { Self.text($0, Self.sentence) }
        uplink.wireGuardKind = uplink.wireGuardKind.map { Self.text($0, Self.word) }
        // RFC 791: every host takes 576 bytes; and no packet has more than 65,535.
        uplink.pathMTU = uplink.pathMTU.flatMap { (576...65535).contains($0) ? $0 : nil }
        uplink.lastRepair = uplink.lastRepair.map { Self.text($0, Self.sentence) }
        uplink.crowding = uplink.crowding.map { Self.text($0, Self.sentence) }
        uplink.carriers = uplink.carriers.map { Array($0.prefix(TunnelCarrier.allCases.count)) }
        uplink.carrierProblem = uplink.carrierProblem.map { Self.text($0, Self.sentence) }
        uplink.targets = Self.unique(uplink.targets.filter { bindings.contains($0.binding) }, by: \.binding).map {
            TargetReport(
                binding: $0.binding, reachable: $0.reachable, message: $0.message.map { Self.text($0, Self.sentence) })
        }
        kept.uplink = uplink
        return kept
    }

    private static func age(_ seconds: Int?) -> Int? { seconds.flatMap { $0 > longestAge ? nil : max(0, $0) } }

    private static func text(_ text: String, _ limit: Int) -> String { plainSentence(text, limit: limit) }

    private static func texts(_ texts: [String]) -> [String] {
        texts.prefix(mostTexts).map { text($0, sentence) }
            + (texts.count > mostTexts ? ["and \(texts.count - mostTexts) more"] : [])
    }

    private static func unique<Element>(_ elements: [Element], by name: (Element) -> String) -> [Element] {
        var seen: Set<String> = []
        return elements.filter { seen.insert(name($0)).inserted }
    }
}

/// What a host said, as a sentence of its own: as `printable` makes it, but for quotation marks and backslashes, which stay as they are.
public func plainSentence(_ text: String, limit: Int) -> String {
    // What most of it is.
    if text.utf8.count <= limit, text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) { return text }
    var result = ""
    var isEscaped = false
    for character in printable(text, limit: limit).unicodeScalars {
        if !isEscaped, character == "\\" {
            isEscaped = true
            continue
        }
        // Of what is escaped only these two are meant as they are.
        if isEscaped, character != "\"", character != "\\" { result.unicodeScalars.append("\\") }
        isEscaped = false
        result.unicodeScalars.append(character)
    }
    return result
}
