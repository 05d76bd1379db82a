/// One Envoy's stream of endpoint discovery (xDS "state of the world", docs of Envoy, "xDS REST and gRPC protocol"): what it asked, what it
/// was told, and what it is to be told next. One response is on its way at a time; what changes meanwhile goes into the next.
///
/// A response holds what is new to Envoy or changed: it keeps the rest. One to all of 5,000 names costs it up to 0.3 s.
struct EndpointStream {
    /// What Envoy subscribed to.
    private(set) var names: Set<String> = []
    /// What was sent of each name, as a digest.
    private var sent: [String: Int] = [:]
    /// To be told again whatever was sent: Envoy waits for it.
    private var asked: Set<String> = []
    private var count: UInt64 = 0
    private var isAwaitingAnswer = false

    private var nonce: String { "\(count)" }

    /// - Returns: why Envoy refused the last response; nil when it did not.
    mutating func take(_ request: DiscoveryRequest) -> String? {
        // Other types are never asked for: only clusters of type EDS name this source.
        guard request.typeURL == LoadAssignment.typeURL else { return nil }
        if count == 0 {
            // The first of a stream, which may be of an Envoy that had another before.
            names = request.names
            asked = names
            return nil
        }
        // Each response was answered before the next was sent. So what names an older one is no answer, but asks again.
        let isAnswer = isAwaitingAnswer && request.nonce == nonce
        let new = request.names.subtracting(names)
        // Who asks again for the same has clusters that warm up until they are told, changed ones of the same names. With new names in
        // the request it does not show whether some changed as well: `replaced` tells.
        if !new.isEmpty { asked.formUnion(new) } else if !isAnswer { asked = request.names }
        if isAnswer { isAwaitingAnswer = false }
        names = request.names
        asked.formIntersection(names)
        sent = sent.filter { names.contains($0.key) }
        return request.refusal
    }

    /// Envoy has other clusters by these names now, which wait for their endpoints as new ones do.
    mutating func replaced(_ clusters: [String]) { asked.formUnion(names.intersection(clusters)) }

    /// - Parameter assignment: what a name's endpoints are now; nil while that is unknown, and Envoy keeps what it has.
    /// - Returns: the response to send; nil for none.
    mutating func response(_ assignment: (String) -> [UInt8]?) -> [UInt8]? {
        if isAwaitingAnswer { return nil }
        var resources: [[UInt8]] = []
        for name in names {
            guard let bytes = assignment(name) else { continue }
            let digest = bytes.hashValue
            if sent[name] == digest && !asked.contains(name) { continue }
            sent[name] = digest
            asked.remove(name)
            resources.append(bytes)
        }
        if resources.isEmpty { return nil }
        count += 1
        isAwaitingAnswer = true
        return discoveryResponse(typeURL: LoadAssignment.typeURL, nonce: nonce, resources: resources)
    }

    /// Names that Envoy waits for.
    var isWaiting: Bool { !asked.isEmpty }

    /// Whether Envoy has taken the endpoints of each of these.
    func hasToldAll(of clusters: some Sequence<String>) -> Bool {
        !isAwaitingAnswer && clusters.allSatisfy { sent[$0] != nil && !asked.contains($0) }
    }
}
