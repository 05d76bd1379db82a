public import Documents
public import JSON
import NetworkTypes

extension Condition {
    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        guard let type = fields["type"].string() else { return nil }
        self.init(
            type: type, status: fields["status"].string().flatMap { Status(rawValue: $0) } ?? .unknown,
            reason: fields["reason"].string() ?? "", message: fields["message"].string() ?? "",
            lastTransitionTime: fields["lastTransitionTime"].string() ?? "",
            observedGeneration: Int64(fields["observedGeneration"].integer(0...Int64.max) ?? 0))
    }

    var fieldValue: FieldValue {
        .fields([
            "type": .string(type),
            "status": .string(status.rawValue),
            "reason": .string(reason),
            "message": .string(message),
            "lastTransitionTime": lastTransitionTime.isEmpty ? nil : .string(lastTransitionTime),
            "observedGeneration": observedGeneration == 0 ? nil : .integer(observedGeneration),
        ])
    }
}

// A status is what a controller wrote, perhaps one of another version: what this one does not know is passed over.

extension EdgeNodeStatus {
    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        self.init(
            conditions: fields["conditions"].sequence()?.compactMap { Condition($0) } ?? [],
            observedGeneration: Int64(fields["observedGeneration"].integer(0...Int64.max) ?? 0),
            relayPublicKey: fields["relayPublicKey"].string().flatMap { WireGuardPublicKey($0) },
            wireGuardKind: fields["wireGuardKind"].string(), envoyVersion: fields["envoyVersion"].string(),
            agentVersion: fields["agentVersion"].string(), appliedConfigHash: fields["appliedConfigHash"].string(),
            appliedBindings: fields["appliedBindings"].integer(0...Int64.max),
            uplinks: fields["uplinks"].sequence()?.compactMap { UplinkStatus($0) } ?? [],
            readyUplinks: fields["readyUplinks"].string())
        linkPin = fields["linkPin"].string()
        sshHostKey = fields["sshHostKey"].string()
    }

    /// As the API has it.
    public var fieldValue: FieldValue {
        .fields([
            "conditions": .array(conditions.map(\.fieldValue)),
            "observedGeneration": observedGeneration == 0 ? nil : .integer(observedGeneration),
            "relayPublicKey": relayPublicKey.map { .text($0) },
            "linkPin": linkPin.map { .string($0) },
            "sshHostKey": sshHostKey.map { .string($0) },
            "wireGuardKind": wireGuardKind.map { .string($0) },
            "envoyVersion": envoyVersion.map { .string($0) },
            "agentVersion": agentVersion.map { .string($0) },
            "appliedConfigHash": appliedConfigHash.map { .string($0) },
            "appliedBindings": appliedBindings.map { .integer($0) },
            "uplinks": uplinks.isEmpty ? nil : .array(uplinks.map(\.fieldValue)),
            "readyUplinks": readyUplinks.map { .string($0) },
        ])
    }
}

extension UplinkStatus {
    init?(_ field: Field) {
        guard let fields = field.mapping(), let name = fields["name"].string(),
            let tunnelIP = fields["tunnelIP"].string().flatMap({ IPv4Address($0) }),
            let publicKey = fields["publicKey"].string().flatMap({ WireGuardPublicKey($0) })
        else { return nil }
        self.init(
            name: name, tunnelIP: tunnelIP, publicKey: publicKey, lastHandshake: fields["lastHandshake"].string(),
            ready: fields["ready"].bool() ?? false,
            carriers: fields["carriers"].sequence()?.compactMap { $0.string().flatMap(TunnelCarrier.init) } ?? [])
    }

    var fieldValue: FieldValue {
        .fields([
            "name": .string(name),
            "tunnelIP": .text(tunnelIP),
            "publicKey": .text(publicKey),
            "lastHandshake": lastHandshake.map { .string($0) },
            "ready": .bool(ready),
            "carriers": carriers.isEmpty ? nil : .array(carriers.map { .string($0.rawValue) }),
        ])
    }
}

extension PortBindingStatus {
    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        self.init(
            conditions: fields["conditions"].sequence()?.compactMap { Condition($0) } ?? [],
            observedGeneration: Int64(fields["observedGeneration"].integer(0...Int64.max) ?? 0),
            bindings: fields["bindings"].sequence()?.compactMap { BindingStatus($0) } ?? [],
            readyBindings: fields["readyBindings"].string(), ports: fields["ports"].string())
    }

    /// As the API has it.
    public var fieldValue: FieldValue {
        .fields([
            "conditions": .array(conditions.map(\.fieldValue)),
            "observedGeneration": observedGeneration == 0 ? nil : .integer(observedGeneration),
            "bindings": .array(bindings.map(\.fieldValue)),
            "readyBindings": readyBindings.map { .string($0) },
            "ports": ports.map { .string($0) },
        ])
    }
}

extension BindingStatus {
    init?(_ field: Field) {
        guard let fields = field.mapping(), let name = fields["name"].string(), let address = fields["address"].string(),
            let reason = fields["reason"].string().flatMap({ Reason(rawValue: $0) })
        else { return nil }
        self.init(
            name: name, address: address, target: fields["target"].string(), ready: fields["ready"].bool() ?? false,
            reason: reason, message: fields["message"].string() ?? "")
    }

    var fieldValue: FieldValue {
        .fields([
            "name": .string(name),
            "address": .string(address),
            "target": target.map { .string($0) },
            "ready": .bool(ready),
            "reason": .string(reason.rawValue),
            "message": .string(message),
        ])
    }
}

/// An object of which only name and status are written down.
public enum WrittenStatus: Hashable, Sendable {
    case edgeNode(ObjectName, EdgeNodeStatus)
    case portBinding(ObjectName, PortBindingStatus)

    /// - Returns: nil for what is no such object.
    public static func decode(_ node: FieldNode) -> WrittenStatus? {
        let log = ProblemLog(unknownFields: .ignored)
        guard let fields = Field(document: node, log: log).mapping() else { return nil }
        let kind = fields["kind"].string()
        guard let kind, let metadata = ObjectMeta(fields["metadata"], kind: kind, expected: "a name", where: { !$0.isEmpty })
        else { return nil }
        switch kind {
        case EdgeNode.kind: return EdgeNodeStatus(fields["status"]).map { .edgeNode(metadata.objectName, $0) }
        case PortBinding.kind: return PortBindingStatus(fields["status"]).map { .portBinding(metadata.objectName, $0) }
        default: return nil
        }
    }
}
