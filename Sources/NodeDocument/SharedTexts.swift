import NetworkTypes

/// JSON texts of resources that differ by names alone, as one text: with 5,000 bindings a document has 1 MB so, and not 10. Both ends take
/// a tenth of the time to write, hash, send and read it.
///
/// A name stands in such a text as a control character, which no JSON text holds as it is.
struct SharedTexts {
    /// The resource's own name, and that of its only binding.
    private static let marks: [UInt8] = [1, 2]

    private(set) var texts: [String] = []
    private var numbers: [String: Int] = [:]

    /// - Parameter names: at most two, the resource's own first.
    /// - Returns: the number of the text; nil for one that cannot be shared.
    mutating func add(_ json: String, names: [String]) -> Int? {
        guard let text = Self.marked(json, names) else { return nil }
        if let number = numbers[text] { return number }
        numbers[text] = texts.count
        texts.append(text)
        return texts.count - 1
    }

    private static func marked(_ json: String, _ names: [String]) -> String? {
        let bytes = Array(json.utf8)
        let names = names.map { Array($0.utf8) }
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var copied = 0
        var position = 0
        while position < bytes.count {
            let byte = bytes[position]
            if byte < 0x20, marks.contains(byte) { return nil }
            position += 1
            guard byte == UInt8(ascii: "\"") else { continue }
            for (mark, name) in zip(marks, names) {
                let end = position + name.count
                guard end < bytes.count, bytes[end] == UInt8(ascii: "\""), bytes[position..<end].elementsEqual(name) else {
                    continue
                }
                result += bytes[copied..<position]
                result.append(mark)
                copied = end
                position = end + 1
                break
            }
        }
        result += bytes[copied...]
        return String(decoding: result, as: UTF8.self)
    }
}

/// Gives back what `SharedTexts` took apart.
struct SharedTextReader {
    /// Each text between its marks, and the marks.
    private let texts: [(parts: [ArraySlice<UInt8>], marks: [UInt8])]

    init(_ texts: [String]) {
        self.texts = texts.map { text in
            let bytes = Array(text.utf8)
            let isMark: (UInt8) -> Bool = { $0 == 1 || $0 == 2 }
            return (bytes.split(omittingEmptySubsequences: false, whereSeparator: isMark), bytes.filter(isMark))
        }
    }

    /// - Parameter number: in digits.
    /// - Parameter line: what the text is for, to be named in the error.
    func json(_ number: String, names: [String], of line: String) throws(InvalidValue) -> String {
        guard let number = Int(number), texts.indices.contains(number) else {
            throw InvalidValue(expected: "packed line", given: line, reason: "it names a text that is not there")
        }
        let text = texts[number]
        var bytes: [UInt8] = []
        for (index, part) in text.parts.enumerated() {
            bytes += part
            guard index < text.marks.count else { break }
            let name = Int(text.marks[index]) - 1
            guard name < names.count else {
                throw InvalidValue(expected: "packed line", given: line, reason: "its text wants a name that it has not")
            }
            bytes += names[name].utf8
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension EnvoyListener {
    /// Those that stand in for names in a shared text.
    fileprivate var names: [String] { bindings.count == 1 ? [name, bindings[0]] : [name] }

    /// `NAME TCP|UDP PORT ADDRESS TEXT DUALSTACKTEXT BINDING…`, a dash for what there is not.
    /// - Returns: nil for one that cannot be told so.
    fileprivate func line(_ shared: inout SharedTexts) -> String? {
        guard let text = shared.add(json, names: names) else { return nil }
        var dualStack = "-"
        if let dualStackJSON {
            guard let text = shared.add(dualStackJSON, names: names) else { return nil }
            dualStack = "\(text)"
        }
        let words = [name, `protocol`.rawValue, "\(port)", address?.description ?? "-", "\(text)", dualStack] + bindings
        return words.contains { $0.isEmpty || $0.utf8.contains(0x20) } ? nil : words.joined(separator: " ")
    }

    fileprivate init(line: String, _ shared: SharedTextReader) throws(InvalidValue) {
        let words = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        guard words.count >= 6, let transport = TransportProtocol(rawValue: words[1]), let port = UInt16(words[2]) else {
            throw InvalidValue(expected: "listener", given: line, reason: "want NAME TCP|UDP PORT ADDRESS TEXT TEXT BINDING…")
        }
        self.init(
            name: words[0], protocol: transport, port: try Port(port),
            address: words[3] == "-" ? nil : try IPv4Address(parsing: words[3]), bindings: Array(words[6...]), json: "")
        json = try shared.json(words[4], names: names, of: line)
        if words[5] != "-" { dualStackJSON = try shared.json(words[5], names: names, of: line) }
    }
}

extension EnvoyResource {
    /// `NAME TEXT`.
    fileprivate func line(_ shared: inout SharedTexts) -> String? {
        guard !name.isEmpty, !name.utf8.contains(0x20), let text = shared.add(json, names: [name]) else { return nil }
        return "\(name) \(text)"
    }

    fileprivate init(line: String, _ shared: SharedTextReader) throws(InvalidValue) {
        let words = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        guard words.count == 2 else { throw InvalidValue(expected: "resource", given: line, reason: "want NAME TEXT") }
        self.init(name: words[0], json: try shared.json(words[1], names: [words[0]], of: line))
    }
}

extension EnvoyDocument {
    private enum CodingKeys: String, CodingKey {
        case release, bootstrap, listeners, clusters, probes, secrets, tlsFiles, keptSecrets, maxConnections, drainSeconds
        case packed
    }

    /// Listeners and clusters with their texts apart; then the document's own lists of them are empty. Former builds wrote those.
    private struct Packed: Codable {
        var listeners: [String]
        var clusters: [String]
        var texts: [String]

        init?(_ document: EnvoyDocument) {
            var shared = SharedTexts()
            var lines: (listeners: [String], clusters: [String]) = ([], [])
            for listener in document.listeners {
                guard let line = listener.line(&shared) else { return nil }
                lines.listeners.append(line)
            }
            for cluster in document.clusters {
                guard let line = cluster.line(&shared) else { return nil }
                lines.clusters.append(line)
            }
            (listeners, clusters, texts) = (lines.listeners, lines.clusters, shared.texts)
        }
    }

    public func encode(to encoder: any Encoder) throws {
        let packed = Packed(self)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(release, forKey: .release)
        try container.encode(bootstrap, forKey: .bootstrap)
        try container.encode(packed == nil ? listeners : [], forKey: .listeners)
        try container.encode(packed == nil ? clusters : [], forKey: .clusters)
        try container.encodeIfPresent(packed, forKey: .packed)
        try container.encodeIfPresent(probes, forKey: .probes)
        try container.encode(secrets, forKey: .secrets)
        try container.encode(tlsFiles, forKey: .tlsFiles)
        try container.encodeIfPresent(keptSecrets, forKey: .keptSecrets)
        try container.encode(maxConnections, forKey: .maxConnections)
        try container.encode(drainSeconds, forKey: .drainSeconds)
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        var listeners = try container.decode([EnvoyListener].self, forKey: .listeners)
        var clusters = try container.decode([EnvoyResource].self, forKey: .clusters)
        if let packed = try container.decodeIfPresent(Packed.self, forKey: .packed) {
            let shared = SharedTextReader(packed.texts)
            do throws(InvalidValue) {
                for line in packed.listeners { listeners.append(try EnvoyListener(line: line, shared)) }
                for line in packed.clusters { clusters.append(try EnvoyResource(line: line, shared)) }
            } catch {
                throw DecodingError.dataCorruptedError(forKey: .packed, in: container, debugDescription: "\(error)")
            }
        }
        self.init(
            release: try container.decode(EnvoyRelease.self, forKey: .release),
            bootstrap: try container.decode(String.self, forKey: .bootstrap), listeners: listeners, clusters: clusters,
            probes: try container.decodeIfPresent(UplinkProbes.self, forKey: .probes),
            secrets: try container.decode([EnvoyResource].self, forKey: .secrets),
            tlsFiles: try container.decode([TLSFile].self, forKey: .tlsFiles),
            keptSecrets: try container.decodeIfPresent([String].self, forKey: .keptSecrets),
            maxConnections: try container.decode(Int.self, forKey: .maxConnections),
            drainSeconds: try container.decode(Int.self, forKey: .drainSeconds))
    }
}
