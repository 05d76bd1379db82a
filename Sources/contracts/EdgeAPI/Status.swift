public import NetworkTypes

/// A meta/v1 Condition.
public struct Condition: Hashable, Codable, Sendable {
    public enum Status: String, Hashable, Codable, Sendable {
        case `true` = "True"
        case `false` = "False"
        case unknown = "Unknown"
    }

    public var type: String
    public var status: Status
    /// CamelCase, for programs.
    public var reason: String
    /// For people: what is so, and what to do about it.
    public var message: String
    /// RFC 3339; when `status` last changed.
    public var lastTransitionTime: String
    public var observedGeneration: Int64

    public init(
        type: String, status: Status, reason: String, message: String, lastTransitionTime: String = "",
        observedGeneration: Int64 = 0
    ) {
        self.type = type
        self.status = status
        self.reason = reason
        self.message = Self.clipped(message)
        self.lastTransitionTime = lastTransitionTime
        self.observedGeneration = observedGeneration
    }

    /// What the API takes in a message (`maxLength` of metav1.Condition); an object with a longer one it refuses whole.
    static let messageLimit = 32_768

    private static func clipped(_ message: String) -> String {
        guard message.utf8.count > messageLimit, message.unicodeScalars.count > messageLimit else { return message }
        return String(String.UnicodeScalarView(message.unicodeScalars.prefix(messageLimit - 1))) + "…"
    }
}

extension [Condition] {
    /// The condition of that type, nil when it was never set.
    public subscript(type: String) -> Condition? { first { $0.type == type } }

    /// Sets `condition`, keeping the transition time where the status stays the same (meta.SetStatusCondition of apimachinery).
    public mutating func set(_ condition: Condition, now: String) {
        var condition = condition
        condition.lastTransitionTime = now
        guard let index = firstIndex(where: { $0.type == condition.type }) else {
            append(condition)
            return
        }
        if self[index].status == condition.status { condition.lastTransitionTime = self[index].lastTransitionTime }
        self[index] = condition
    }
}

/// What is known of an EdgeNode.
public struct EdgeNodeStatus: Hashable, Codable, Sendable {
    /// `Ready`, `Enrolled`, `TunnelEstablished`, `ConfigSynced`.
    public var conditions: [Condition]
    public var observedGeneration: Int64
    public var relayPublicKey: WireGuardPublicKey?
    /// By which uplinks know the VPS where they link, as `sha256` of its public key; nil before it told.
    public var linkPin: String?
    /// The key that the VPS showed to the controller's SSH, as OpenSSH writes it; nil before it did.
    public var sshHostKey: String?
    /// `kernel` or `userspace`.
    public var wireGuardKind: String?
    public var envoyVersion: String?
    public var agentVersion: String?
    /// The hash of the configuration that the VPS holds.
    public var appliedConfigHash: String?
    /// Bindings in that configuration.
    public var appliedBindings: Int?
    public var uplinks: [UplinkStatus]
    /// `2/3`: how many of the uplinks that are wanted say that they are ready. For kubectl's columns, which cannot count.
    public var readyUplinks: String?

    public init(
        conditions: [Condition] = [], observedGeneration: Int64 = 0, relayPublicKey: WireGuardPublicKey? = nil,
        wireGuardKind: String? = nil, envoyVersion: String? = nil, agentVersion: String? = nil, appliedConfigHash: String? = nil,
        appliedBindings: Int? = nil, uplinks: [UplinkStatus] = [], readyUplinks: String? = nil
    ) {
        self.conditions = conditions
        self.observedGeneration = observedGeneration
        self.relayPublicKey = relayPublicKey
        self.wireGuardKind = wireGuardKind
        self.envoyVersion = envoyVersion
        self.agentVersion = agentVersion
        self.appliedConfigHash = appliedConfigHash
        self.appliedBindings = appliedBindings
        self.uplinks = uplinks
        self.readyUplinks = readyUplinks
    }
}

/// One replica as the relay sees it.
public struct UplinkStatus: Hashable, Codable, Sendable {
    /// `<edgenode>-uplink-<ordinal>`.
    public var name: String
    public var tunnelIP: IPv4Address
    public var publicKey: WireGuardPublicKey
    /// RFC 3339; nil when there never was one.
    public var lastHandshake: String?
    public var ready: Bool
    /// By which it is connected, best first; empty where that is not known.
    public var carriers: [TunnelCarrier]

    public init(
        name: String, tunnelIP: IPv4Address, publicKey: WireGuardPublicKey, lastHandshake: String? = nil, ready: Bool = false,
        carriers: [TunnelCarrier] = []
    ) {
        self.name = name
        self.tunnelIP = tunnelIP
        self.publicKey = publicKey
        self.lastHandshake = lastHandshake
        self.ready = ready
        self.carriers = carriers
    }
}

/// What is known of a PortBinding.
public struct PortBindingStatus: Hashable, Codable, Sendable {
    /// `Programmed`, `Ready`.
    public var conditions: [Condition]
    public var observedGeneration: Int64
    public var bindings: [BindingStatus]
    /// `1/2`: how many of the bindings carry traffic. For kubectl's columns, which cannot count.
    public var readyBindings: String?
    /// `443/TCP,53/UDP`, and `+7` for those beyond the first five. For kubectl's columns, which show one value of a list.
    public var ports: String?

    public init(
        conditions: [Condition] = [], observedGeneration: Int64 = 0, bindings: [BindingStatus] = [], readyBindings: String? = nil,
        ports: String? = nil
    ) {
        self.conditions = conditions
        self.observedGeneration = observedGeneration
        self.bindings = bindings
        self.readyBindings = readyBindings
        self.ports = ports
    }
}

/// One binding: where it is reached, where it leads, and whether it does.
public struct BindingStatus: Hashable, Codable, Sendable {
    /// Why a binding is or is not Ready.
    public enum Reason: String, Codable, Hashable, Sendable, CaseIterable {
        case applied = "Applied"
        case portConflict = "PortConflict"
        case portInUse = "PortInUse"
        case rejectedByEnvoy = "RejectedByEnvoy"
        case blockedByFirewall = "BlockedByFirewall"
        case targetNotFound = "TargetNotFound"
        /// No binding may lead there.
        case targetRefused = "TargetRefused"
        case targetUnreachable = "TargetUnreachable"
        case tlsSecretIncomplete = "TLSSecretIncomplete"
        case uplinksDown = "UplinksDown"
        case edgeNodeNotFound = "EdgeNodeNotFound"
        case notYetApplied = "NotYetApplied"
    }

    public var name: String
    /// Where clients reach it, `203.0.113.10:443`.
    public var address: String
    /// Where it leads, `10.96.0.10:53`; nil while unresolved.
    public var target: String?
    public var ready: Bool
    public var reason: Reason
    public var message: String

    public init(name: String, address: String, target: String? = nil, ready: Bool, reason: Reason, message: String) {
        self.name = name
        self.address = address
        self.target = target
        self.ready = ready
        self.reason = reason
        self.message = message
    }
}
