/// `envoy.service.discovery.v3.DeltaDiscoveryRequest`, as far as it concerns us.
struct DeltaRequest: Hashable {
    var typeURL = ""
    /// What an Envoy that lost its stream has, by name; versions are those that it was told.
    var held: [String: String] = [:]
    /// Of the response that this one answers; empty in one that answers none.
    var nonce = ""
    /// Why Envoy refused that response, or some of it; nil when it took it.
    var refusal: String?

    init(typeURL: String, held: [String: String] = [:], nonce: String = "", refusal: String? = nil) {
        self.typeURL = typeURL
        self.held = held
        self.nonce = nonce
        self.refusal = refusal
    }

    init(_ bytes: ArraySlice<UInt8>) throws(MalformedMessage) {
        var reader = ProtobufReader(bytes)
        while let (field, value) = try reader.next() {
            guard case .bytes(let contents) = value else { continue }
            switch field {
            case 2: typeURL = String(decoding: contents.prefix(256), as: UTF8.self)
            case 5: try hold(contents)
            case 6: nonce = String(decoding: contents.prefix(256), as: UTF8.self)
            case 7: refusal = try message(ofStatus: contents)
            default: break
            }
        }
    }

    private mutating func hold(_ entry: ArraySlice<UInt8>) throws(MalformedMessage) {
        var texts: [UInt64: String] = [:]
        var reader = ProtobufReader(entry)
        while let (field, value) = try reader.next() {
            guard case .bytes(let contents) = value else { continue }
            texts[field] = String(decoding: contents.prefix(257), as: UTF8.self)
        }
        guard let name = texts[1], name.utf8.count <= 256, held.count < DiscoveryRequest.nameLimit else {
            throw MalformedMessage(reason: "more resources, or longer names, than any configuration has")
        }
        held[name] = texts[2] ?? ""
    }
}

/// One Envoy's stream of clusters, or of listeners (incremental xDS): what it has, and what it is to be told next. It is told what changed
/// alone: a change of one among 5,000 costs it 10 ms, and not the second that it takes to read them all.
///
/// One response is on its way at a time; what changes meanwhile goes into the next.
struct ResourceStream {
    /// What Envoy said of a set.
    struct Answer: Hashable {
        var version: String
        /// Nil when it took all of it.
        var refusal: String?
    }

    /// Of its first request; nil before.
    private(set) var typeURL: String?
    /// The last.
    private(set) var answer: Answer?
    /// By name, the version that Envoy has, or was sent.
    private var sent: [String: String] = [:]
    private var toldVersion: String?
    /// Those of the response on its way that Envoy had otherwise before.
    private var replaced: [String] = []
    private var count: UInt64 = 0
    private var isAwaitingAnswer = false

    /// - Returns: the names of what Envoy has replaced just now; empty for none.
    mutating func take(_ request: DeltaRequest) -> [String] {
        if typeURL == nil {
            typeURL = request.typeURL
            sent = request.held
            return []
        }
        // All else is a wish for names, and whoever asks us wants all.
        guard isAwaitingAnswer, request.nonce == "\(count)", let toldVersion else { return [] }
        isAwaitingAnswer = false
        answer = Answer(version: toldVersion, refusal: request.refusal)
        defer { replaced = [] }
        return replaced
    }

    /// - Parameter wanted: all that Envoy is to have. What it refused is not sent to it again: it would refuse it again.
    /// - Returns: the response to send; nil for none.
    mutating func response(_ wanted: ResourceSet) -> [UInt8]? {
        guard !isAwaitingAnswer, typeURL == wanted.typeURL, toldVersion != wanted.version else { return nil }
        let news = wanted.resources.filter { sent[$0.name] != $0.version }
        replaced = news.map(\.name).filter { sent[$0] != nil }
        let former = sent.keys
        sent = Dictionary(wanted.resources.map { ($0.name, $0.version) }, uniquingKeysWith: { _, last in last })
        let gone = former.filter { sent[$0] == nil }.sorted()
        toldVersion = wanted.version
        count += 1
        isAwaitingAnswer = true
        return deltaResponse(wanted, news, gone, nonce: "\(count)")
    }
}

/// `envoy.service.discovery.v3.DeltaDiscoveryResponse`.
private func deltaResponse(_ set: ResourceSet, _ news: [ResourceSet.Resource], _ gone: [String], nonce: String) -> [UInt8] {
    var writer = ProtobufWriter()
    writer.field(1, set.version.utf8)
    for resource in news {
        writer.field(2) { entry in
            entry.field(1, resource.version.utf8)
            // google.protobuf.Any
            entry.field(2) { any in
                any.field(1, set.typeURL.utf8)
                any.field(2, resource.bytes)
            }
            entry.field(3, resource.name.utf8)
        }
    }
    writer.field(4, set.typeURL.utf8)
    writer.field(5, nonce.utf8)
    for name in gone { writer.field(6, name.utf8) }
    return writer.bytes
}
