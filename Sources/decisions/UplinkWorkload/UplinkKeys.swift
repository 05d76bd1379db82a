public import Documents
import EdgeAPI
public import JSON
import KubernetesAPI
import NetworkTypes
public import Sodium

/// The private keys of an EdgeNode's uplinks, as the Secret holds them: `priv-0`, `priv-1`, …, each as `wg genkey` prints it.
public struct UplinkKeys: Sendable {
    /// By ordinal.
    public private(set) var keys: [Int: WireGuardPrivateKey]
    /// What the Secret must become; nil when it is right as it is, resourceVersion and all.
    public private(set) var change: Change?

    public enum Change: Hashable, Sendable, CustomStringConvertible {
        case create(FieldValue)
        /// With the resourceVersion that was read: 409 when somebody changed the Secret since.
        case update(FieldValue)

        public var description: String {
            switch self {
            case .create: "<create the keys' Secret>"
            case .update: "<update the keys' Secret>"
            }
        }
    }

    /// - Parameters:
    ///   - replicas: how many uplinks are wanted.
    ///   - pods: names of the pods that exist, those on their way out too: until a pod is gone its tunnel stays.
    ///   - secret: as the API server has it; nil when there is none.
    ///   - remembered: keys by ordinal that were in the Secret before; they take the place of those that are missing.
    ///   - generate: makes a key; for tests to know which.
    /// - Throws: `nameTaken` when the Secret is not ours.
    public init(
        of names: UplinkNames, replicas: Int, pods: some Sequence<String>, secret: FieldNode?,
        remembered: [Int: WireGuardPrivateKey] = [:],
        generate: () throws(SodiumError) -> WireGuardPrivateKey = { () throws(SodiumError) in try .generate() }
    ) throws(UplinkWorkloadError) {
        if case .taken(let owner) = UplinkOwnership(of: secret, for: names) {
            throw .nameTaken(kind: "Secret", names.keysSecret, owner: owner)
        }
        let wanted = Self.ordinals(replicas: replicas, pods: pods, names)
        var data = secret?["data"]?.texts ?? [:]
        keys = [:]
        var hasChanged = secret == nil
        do throws(SodiumError) {
            for ordinal in wanted.sorted() {
                // A text that is no key helps nobody: a new one takes its place.
                if let key = Self.key(data[Self.entry(ordinal)]) {
                    keys[ordinal] = key
                    continue
                }
                let key: WireGuardPrivateKey
                if let known = remembered[ordinal] { key = known } else { key = try generate() }
                keys[ordinal] = key
                data[Self.entry(ordinal)] = Self.text(key)
                hasChanged = true
            }
        } catch {
            throw .keys(names.keysSecret, reason: "\(error)")
        }
        // Entries that are none of ours stay: who put them there knows why.
        for entry in data.keys {
            guard let ordinal = Self.ordinal(entry), !wanted.contains(ordinal) else { continue }
            data[entry] = nil
            hasChanged = true
        }
        guard hasChanged else { return }
        change = secret.map { .update(Self.object(names, data, replacing: $0)) } ?? .create(Self.object(names, data))
    }

    /// What the relay is told.
    public func identities() throws(SodiumError) -> [Int: UplinkIdentity] {
        var result: [Int: UplinkIdentity] = [:]
        for (ordinal, key) in keys { result[ordinal] = try UplinkIdentity(of: key) }
        return result
    }

    // MARK: Decisions

    private static func ordinals(replicas: Int, pods: some Sequence<String>, _ names: UplinkNames) -> Set<Int> {
        // More than 253 have no address (`spec.uplink.replicas`); a pod of such a number is none that we made.
        Set(0..<max(0, replicas)).union(pods.compactMap(names.ordinal(ofPod:)).filter { $0 < 253 })
    }

    /// The replicas that a Secret of the API server's has keys for, in order; nothing is read where there is none.
    public static func ordinals(in secret: FieldNode?) -> [Int] {
        (secret?["data"]?.entries ?? []).compactMap { ordinal($0.key) }.sorted()
    }

    private static func entry(_ ordinal: Int) -> String { "priv-\(ordinal)" }

    private static func ordinal(_ entry: String) -> Int? { entry.hasPrefix("priv-") ? decimal(entry.dropFirst(5)) : nil }

    // MARK: The Secret

    private static func key(_ text: String?) -> WireGuardPrivateKey? {
        guard let text, var file = decodeBase64(text) else { return nil }
        return try? WireGuardPrivateKey(consumingBase64: &file)
    }

    private static func text(_ key: WireGuardPrivateKey) -> String {
        var file = key.base64File()
        defer { zero(&file) }
        return encodeBase64(file)
    }

    private static func object(_ names: UplinkNames, _ data: [String: String], replacing old: FieldNode? = nil) -> FieldValue {
        var object = names.head(.secrets, names.keysSecret)
        object["type"] = .string(old?["type"]?.text ?? "Opaque")
        object["data"] = .texts(data)
        guard let metadata = old?["metadata"] else { return .object(object) }
        // An update replaces all of an object: what others added to it goes along.
        object["metadata"] = [
            "name": .string(names.keysSecret.name), "namespace": .string(names.keysSecret.namespace),
            "uid": .string(metadata["uid"]?.text ?? ""), "resourceVersion": .string(metadata["resourceVersion"]?.text ?? ""),
            "labels": .texts((metadata["labels"]?.texts ?? [:]).merging(names.labels) { $1 }),
            "annotations": .texts((metadata["annotations"]?.texts ?? [:]).merging(names.annotations) { $1 }),
        ]
        return .object(object)
    }
}
