/// Where EdgeNodes may have their uplinks, as `--uplink-namespaces` lists it: `*` for any namespace, `NAMESPACE` for one that all may name,
/// `TENANT:NAMESPACE` for one that only EdgeNodes of namespace TENANT may name.
public struct UplinkNamespaces: Hashable, Sendable {
    private var ofAll: Set<String> = []
    private var ofTenants: [String: Set<String>] = [:]

    /// Separated by commas; blanks do not count.
    public init(_ list: String) {
        for entry in list.split(separator: ",").map({ $0.filter { !$0.isWhitespace } }) where !entry.isEmpty {
            let parts = entry.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            if parts.count == 1 { ofAll.insert(entry) } else { ofTenants[parts[0], default: []].insert(parts[1]) }
        }
    }

    public func allow(_ namespace: String, to tenant: String) -> Bool {
        // What one tenant is given is his alone, also beside `*`.
        if ofTenants[tenant]?.contains(namespace) == true || ofAll.contains(namespace) { return true }
        return ofAll.contains("*") && !ofTenants.values.contains { $0.contains(namespace) }
    }

    /// Those that are named, for a sentence.
    func words(for tenant: String) -> String {
        let named = ofAll.union(ofTenants[tenant] ?? []).subtracting(["*"]).sorted()
        if ofAll.contains("*") { return "any that is not another's" }
        return named.isEmpty ? "none" : named.joined(separator: ", ")
    }
}
