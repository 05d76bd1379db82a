import Documents
public import EdgeAPI
import JSON

/// What an EdgeNode may ask of its uplinks' pods, which run beside other tenants' in a namespace with privileges.
public struct UplinkPolicy: Hashable, Sendable {
    public var mostReplicas = 16
    public var namespaces = UplinkNamespaces("*")
    /// Of labels and annotations on the pods, of tolerations, and names of resources.
    public var labels = KeyPatterns("*,app.kubernetes.io/*")
    public var annotations = KeyPatterns("*,prometheus.io/*")
    public var tolerations = KeyPatterns("*,node.kubernetes.io/not-ready,node.kubernetes.io/unreachable")
    public var resources = KeyPatterns("cpu,memory,ephemeral-storage")
    /// Requests and limits of each pod; nil for any.
    public var mostCPU: Quantity? = Quantity("4")
    public var mostMemory: Quantity? = Quantity("4Gi")
    /// Of `ephemeral-storage`.
    public var mostStorage: Quantity? = Quantity("10Gi")
    /// Whether an affinity may name pods of other namespaces: a required anti-affinity keeps those off the uplinks' nodes.
    public var allowsForeignAffinity = false

    /// Safe defaults, with which every example of the specification passes.
    public init() {}

    /// Everything that the API takes.
    public static var open: UplinkPolicy {
        var policy = UplinkPolicy()
        policy.mostReplicas = .max
        (policy.labels, policy.annotations) = (KeyPatterns("**"), KeyPatterns("**"))
        (policy.tolerations, policy.resources) = (KeyPatterns("**"), KeyPatterns("**"))
        (policy.mostCPU, policy.mostMemory, policy.mostStorage) = (nil, nil, nil)
        policy.allowsForeignAffinity = true
        return policy
    }

    /// What an EdgeNode asks and may not have, with the flag that would let it; nil when all is well.
    /// - Parameter tenant: the EdgeNode's namespace.
    public func problem(with spec: UplinkSpec, of tenant: String) -> String? {
        if !namespaces.allow(spec.namespace, to: tenant) {
            return
                "spec.uplink.namespace: EdgeNodes of namespace \(tenant) may not have their uplinks in \(spec.namespace), but in "
                + "\(namespaces.words(for: tenant)) (--uplink-namespaces); it cannot be changed: delete the EdgeNode and make it anew"
        }
        if spec.replicas > mostReplicas {
            return
                "spec.uplink.replicas: at most \(mostReplicas) are allowed here, given \(spec.replicas) (--max-uplink-replicas)"
        }
        if let key = spec.labels.keys.sorted().first(where: { !labels.allow($0) }) {
            return "spec.uplink.labels: \(key) is not allowed here, but \(labels) (--uplink-labels)"
        }
        if let key = spec.annotations.keys.sorted().first(where: { !annotations.allow($0) }) {
            return "spec.uplink.annotations: \(key) is not allowed here, but \(annotations) (--uplink-annotations)"
        }
        for toleration in spec.tolerations {
            let key = toleration["key"]?.text ?? ""
            guard !tolerations.allow(key) else { continue }
            let what = key.isEmpty ? "one of every taint" : key
            return "spec.uplink.tolerations: \(what) is not allowed here, but \(tolerations) (--uplink-tolerations)"
        }
        if let problem = resourceProblem(spec.resources) { return "spec.uplink.resources\(problem)" }
        if !allowsForeignAffinity, spec.affinity?.namesOtherNamespaces == true {
            return "spec.uplink.affinity: namespaces and namespaceSelector are not allowed here (--allow-foreign-affinity)"
        }
        return nil
    }

    private func resourceProblem(_ value: FieldValue?) -> String? {
        guard case .object(let fields)? = value else { return nil }
        for (field, content) in fields.sorted(by: { $0.key < $1.key }) {
            guard field == "requests" || field == "limits", case .object(let amounts) = content else {
                if resources.allow(field) { continue }
                return ".\(field) is not allowed here (--uplink-resources)"
            }
            for (name, amount) in amounts.sorted(by: { $0.key < $1.key }) {
                guard resources.allow(name) else {
                    return ".\(field): \(name) is not allowed here, but \(resources) (--uplink-resources)"
                }
                let most: (quantity: Quantity?, flag: String) =
                    switch name {
                    case "cpu": (mostCPU, "--max-uplink-cpu")
                    case "memory": (mostMemory, "--max-uplink-memory")
                    case "ephemeral-storage": (mostStorage, "--max-uplink-storage")
                    default: (nil, "")
                    }
                guard let limit = most.quantity else { continue }
                // What is no quantity the API server refuses by itself.
                guard let given = Quantity(amount), given > limit else { continue }
                return ".\(field).\(name): at most \(limit) is allowed here, given \(given) (\(most.flag))"
            }
        }
        return nil
    }
}

/// Keys of labels and the like, by patterns: `*` stands for any characters but `/`, so that `*` alone is every key without a prefix,
/// `example.com/*` every key with that one, and `**` every key at all.
public struct KeyPatterns: Hashable, Sendable, CustomStringConvertible {
    private let patterns: [String]

    /// - Parameter list: patterns separated by commas; none allow nothing.
    public init(_ list: String) {
        patterns = list.split(separator: ",").map { String($0.filter { !$0.isWhitespace }) }.filter { !$0.isEmpty }
    }

    public func allow(_ key: String) -> Bool {
        patterns.contains { $0 == "**" || (!key.isEmpty && Self.matches(Array(key.utf8)[...], Array($0.utf8)[...])) }
    }

    public var description: String { patterns.isEmpty ? "none" : patterns.joined(separator: ", ") }

    /// Each `*` takes as little as it can, and more where the rest does not match: linear but for the last `*`.
    private static func matches(_ key: ArraySlice<UInt8>, _ pattern: ArraySlice<UInt8>) -> Bool {
        var (key, pattern) = (key, pattern)
        var retry: (key: ArraySlice<UInt8>, pattern: ArraySlice<UInt8>)?
        while true {
            if pattern.first == UInt8(ascii: "*") {
                pattern = pattern.dropFirst()
                retry = (key, pattern)
            } else if let byte = key.first, byte == pattern.first {
                (key, pattern) = (key.dropFirst(), pattern.dropFirst())
            } else if key.isEmpty, pattern.isEmpty {
                return true
            } else if let last = retry, let byte = last.key.first, byte != UInt8(ascii: "/") {
                (key, pattern) = (last.key.dropFirst(), last.pattern)
                retry = (key, pattern)
            } else {
                return false
            }
        }
    }
}

extension FieldValue {
    fileprivate subscript(name: String) -> FieldValue? { if case .object(let fields) = self { fields[name] } else { nil } }
    fileprivate var text: String? { if case .string(let text) = self { text } else { nil } }

    /// Of an affinity: whether some term has `namespaces` or a `namespaceSelector`.
    fileprivate var namesOtherNamespaces: Bool {
        switch self {
        case .object(let fields):
            fields.contains { key, value in
                (key == "namespaces" || key == "namespaceSelector") && value != .null || value.namesOtherNamespaces
            }
        case .array(let items): items.contains { $0.namesOtherNamespaces }
        default: false
        }
    }
}
