public import NetworkTypes
public import Sodium

/// What `edge-agent apply` and `status` answer: one JSON object on one line of standard output.
public struct AgentReport: Hashable, Codable, Sendable {
    public enum Outcome: String, Hashable, Codable, Sendable {
        /// The host is what the document says, but for what `listeners` and `problems` name.
        case applied
        /// This agent is another build than the document wants; nothing was done.
        case needsAgent
        /// All is done but Envoy, whose binary must be pushed with `install-envoy`.
        case needsEnvoy
        /// All is done but the link program, which must be pushed with `install-link`.
        case needsLink
        /// Nothing was done: the document keeps secrets that this host does not have, `missingSecrets`.
        case needsSecrets
        /// Nothing was done, or the last good state was put back; `problems` say why.
        case refused
        /// The state of the host as it is; `status` only.
        case observed
    }

    public var outcome: Outcome
    public var agentBuild: String
    /// Of the document that is in force; nil when none is.
    public var hash: SHA256Digest?
    public var epoch: UInt64?
    /// What was changed, in words, in order; empty when the host already was as it should be.
    public var changes: [String]
    /// What was found other than the last apply left it, and was put right.
    public var drift: [String]
    public var problems: [AgentProblem]
    public var relayPublicKey: WireGuardPublicKey?
    /// Of the relay's key for links; nil from an agent that knows none.
    public var linkPin: SHA256Digest?
    /// `kernel` or `userspace`.
    public var wireGuardKind: String?
    public var envoyVersion: String?
    /// Whether Envoy was restarted hot or plain, and why, in words; nil when it was not restarted.
    public var envoyRestart: String?
    /// What the user must know of the host for as long as it is what it is, in words; nil for nothing.
    public var caveats: [String]?
    public var listeners: [ListenerReport]
    public var peers: [PeerReport]
    /// Why the tunnel's port hears nothing, with what to do, where a firewall of the host drops what comes to it.
    public var tunnelDropped: String?
    /// Why the host's sshd lets no link through, with what to do; nil where it does, and where none comes by it.
    public var sshObstacle: String?
    /// The host's SSH key, as OpenSSH writes it. Of whoever read the report: what a host says of it counts nothing.
    public var sshHostKey: String?
    /// The bindings that no uplink which is well forwards, by name; empty while that is not known.
    public var starved: [String]
    /// Nil unless the outcome is `needsSecrets`.
    public var missingSecrets: [String]?
    /// The bindings that Envoy refuses, by name, and why; what they share with others is served. Nil for none.
    public var refusedBindings: [String: String]?

    public init(
        outcome: Outcome, agentBuild: String, hash: SHA256Digest? = nil, epoch: UInt64? = nil, changes: [String] = [],
        drift: [String] = [], problems: [AgentProblem] = [], relayPublicKey: WireGuardPublicKey? = nil,
        wireGuardKind: String? = nil,
        envoyVersion: String? = nil, listeners: [ListenerReport] = [], peers: [PeerReport] = [],
        starved: [String] = []
    ) {
        self.outcome = outcome
        self.agentBuild = agentBuild
        self.hash = hash
        self.epoch = epoch
        self.changes = changes
        self.drift = drift
        self.problems = problems
        self.relayPublicKey = relayPublicKey
        self.wireGuardKind = wireGuardKind
        self.envoyVersion = envoyVersion
        linkPin = nil
        envoyRestart = nil
        caveats = nil
        tunnelDropped = nil
        sshObstacle = nil
        sshHostKey = nil
        missingSecrets = nil
        refusedBindings = nil
        self.listeners = listeners
        self.peers = peers
        self.starved = starved
    }
}

/// Something the agent could not do.
public struct AgentProblem: Hashable, Codable, Sendable {
    public enum Kind: String, Hashable, Codable, Sendable {
        case badDocument
        case foreignOwner
        case staleEpoch
        case busy
        case unsupportedHost
        case diskFull
        case envoyInstall
        case envoyRejected
        case envoyNotRunning
        case wireGuard
        case network
        case system
    }

    public var kind: Kind
    /// For people: what failed, on what, and what to do.
    public var message: String

    public init(kind: Kind, message: String) {
        self.kind = kind
        self.message = message
    }
}

/// One listener as it is.
public struct ListenerReport: Hashable, Codable, Sendable {
    public enum State: String, Hashable, Codable, Sendable {
        /// Envoy accepted it and its port is bound.
        case active
        /// Envoy has the port, but a firewall of the host drops what comes to it.
        case filtered
        /// Another process holds the port; the listener was left out.
        case portInUse
        /// Envoy refused it.
        case rejected
        /// Envoy has not said yet.
        case pending
        /// It is new, and left out until an uplink says that it forwards one of its bindings.
        case unforwarded
    }

    public var name: String
    public var state: State
    /// Nil when active.
    public var message: String?

    public init(name: String, state: State, message: String? = nil) {
        self.name = name
        self.state = state
        self.message = message
    }
}

/// One uplink as the relay sees it.
public struct PeerReport: Hashable, Codable, Sendable {
    public var ordinal: Int
    public var publicKey: WireGuardPublicKey
    /// Seconds since the last handshake; nil when there never was one.
    public var handshakeAge: Int?
    public var receivedBytes: UInt64
    public var sentBytes: UInt64
    /// What the uplink said on `/status`, asked through the tunnel; nil when it did not answer.
    public var uplink: UplinkReport?
    /// Its links, as the edge has them; nil where links carry nothing, and while it has none.
    public var links: LinkReport?

    public init(
        ordinal: Int, publicKey: WireGuardPublicKey, handshakeAge: Int?, receivedBytes: UInt64, sentBytes: UInt64,
        uplink: UplinkReport?
    ) {
        self.ordinal = ordinal
        self.publicKey = publicKey
        self.handshakeAge = handshakeAge
        self.receivedBytes = receivedBytes
        self.sentBytes = sentBytes
        self.uplink = uplink
        links = nil
    }
}

/// The links of one uplink.
public struct LinkReport: Hashable, Codable, Sendable {
    public var count: Int
    /// Of the last ping; nil before the first answer.
    public var roundTripMicroseconds: Int?
    /// Connections and UDP sessions that are open.
    public var streams: Int
    public var receivedBytes: UInt64
    public var sentBytes: UInt64

    public init(count: Int, roundTripMicroseconds: Int?, streams: Int, receivedBytes: UInt64, sentBytes: UInt64) {
        self.count = count
        self.roundTripMicroseconds = roundTripMicroseconds
        self.streams = streams
        self.receivedBytes = receivedBytes
        self.sentBytes = sentBytes
    }
}

/// What an uplink answers on `/status`.
public struct UplinkReport: Hashable, Codable, Sendable {
    public var ordinal: Int
    /// Of the `UplinkDocument` in force; nil before the first.
    public var hash: SHA256Digest?
    public var ready: Bool
    /// Why not ready; nil when ready.
    public var reason: String?
    /// Seconds since the last handshake; nil when there never was one.
    public var handshakeAge: Int?
    public var receivedBytes: UInt64
    public var sentBytes: UInt64
    /// `kernel` or `userspace`.
    public var wireGuardKind: String?
    /// Bytes of the largest packet that the path to the relay carries, where that is less than the tunnel's MTU; nil otherwise.
    public var pathMTU: Int?
    public var targets: [TargetReport]
    /// How many changes by others it has put right since its start; nil from one that does not tell.
    public var repairs: UInt64?
    /// The last of them, in words; nil when there was none.
    public var lastRepair: String?
    /// That conntrack of the uplink's host is too small for what comes, in words with what to do; nil when it is not.
    public var crowding: String?
    /// By which ways it is connected, best first; nil from one that knows no links.
    public var carriers: [TunnelCarrier]?
    /// Why a way that is preferred to those does not carry, in words; nil for nothing.
    public var carrierProblem: String?

    public init(
        ordinal: Int, hash: SHA256Digest?, ready: Bool, reason: String?, handshakeAge: Int?, receivedBytes: UInt64,
        sentBytes: UInt64,
        wireGuardKind: String?, pathMTU: Int? = nil, targets: [TargetReport], repairs: UInt64? = nil, lastRepair: String? = nil,
        crowding: String? = nil
    ) {
        self.ordinal = ordinal
        self.hash = hash
        self.ready = ready
        self.reason = reason
        self.handshakeAge = handshakeAge
        self.receivedBytes = receivedBytes
        self.sentBytes = sentBytes
        self.wireGuardKind = wireGuardKind
        self.pathMTU = pathMTU
        self.targets = targets
        self.repairs = repairs
        self.lastRepair = lastRepair
        self.crowding = crowding
        carriers = nil
        carrierProblem = nil
    }
}

/// Whether a binding's target answers, as its uplink sees it.
public struct TargetReport: Hashable, Codable, Sendable {
    public var binding: String
    /// Nil where it cannot be told: a UDP target that keeps silent.
    public var reachable: Bool?
    /// Such as `connection refused`; nil when reachable or unknown.
    public var message: String?

    public init(binding: String, reachable: Bool?, message: String? = nil) {
        self.binding = binding
        self.reachable = reachable
        self.message = message
    }
}

/// The header line of `edge-agent install-envoy`; the binary's bytes follow it.
public struct EnvoyInstallHeader: Hashable, Codable, Sendable {
    public var version: String
    public var sha256: SHA256Digest
    /// Bytes that follow the header's newline.
    public var length: Int

    public init(version: String, sha256: SHA256Digest, length: Int) {
        self.version = version
        self.sha256 = sha256
        self.length = length
    }
}

/// The header line of `edge-agent install-link`; the program's bytes, gzipped, follow it.
public struct LinkInstallHeader: Hashable, Codable, Sendable {
    /// As `RelayLink.program` names it.
    public var build: String
    /// Of the program itself, unpacked.
    public var sha256: SHA256Digest
    /// Bytes of the program, unpacked.
    public var length: Int

    public init(build: String, sha256: SHA256Digest, length: Int) {
        self.build = build
        self.sha256 = sha256
        self.length = length
    }
}
