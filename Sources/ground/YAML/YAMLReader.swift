public import Documents

/// Reads a YAML text into its documents, within `SyntaxLimits`; `problem` says why it ended early, if it did.
///
/// Scalars mean what they mean to kubectl (YAML 1.1, so `yes` is a boolean), except that numbers with leading zeros, bases or
/// underscores, which YAML's versions read differently, stay texts. Aliases and merge keys (`<<`) are followed; what they
/// stand for counts each time, so that a small text cannot unfold into a large one.
public func readYAML(_ bytes: [UInt8]) -> (documents: [FieldNode], problem: SyntaxProblem?) {
    var documents: [FieldNode] = []
    do throws(SyntaxProblem) {
        try checkDirectives(bytes)
        var reader = YAMLReader(parser: try YAMLParser(bytes))
        while let document = try reader.nextDocument() { documents.append(document) }
    } catch {
        return (documents, error)
    }
    return (documents, nil)
}

/// libyaml compares each directive with all before it, which is slow for many of them; manifests have one at most.
private func checkDirectives(_ bytes: [UInt8]) throws(SyntaxProblem) {
    var count = 0
    var previous: UInt8 = 0x0A
    for byte in bytes {
        if previous == 0x0A, byte == UInt8(ascii: "%") { count += 1 }
        previous = byte
    }
    if count > 1000 { throw SyntaxProblem(position: nil, message: "more than 1000 lines begin with %") }
}

private struct YAMLReader {
    /// What an anchor stands for.
    private struct Anchored {
        var node: FieldNode
        /// Values in it, itself included.
        var size: Int
        /// Levels in it: 0 for a scalar.
        var height: Int
    }

    private let parser: YAMLParser
    private var anchors: [String: Anchored] = [:]
    private var nodes = 0
    private var start = 0

    init(parser: YAMLParser) { self.parser = parser }

    mutating func nextDocument() throws(SyntaxProblem) -> FieldNode? {
        let (event, position, offset) = try parser.next()
        guard case .documentStart = event else { return nil }
        anchors = [:]
        nodes = 0
        start = offset
        let root = try node(try next(), depth: 0)
        _ = try parser.next()
        return root.node.position == nil ? FieldNode(root.node.content, position: position) : root.node
    }

    private func next() throws(SyntaxProblem) -> (event: YAMLParser.Event, position: TextPosition) {
        let (event, position, offset) = try parser.next()
        guard offset - start <= SyntaxLimits.documentBytes else {
            throw SyntaxProblem(
                position: position, message: "the document is longer than \(SyntaxLimits.documentBytes) bytes; split it")
        }
        return (event, position)
    }

    private mutating func count(_ size: Int, height: Int, depth: Int, at position: TextPosition) throws(SyntaxProblem) {
        nodes += size
        guard nodes <= SyntaxLimits.nodes else {
            throw SyntaxProblem(
                position: position, message: "the document unfolds to more than \(SyntaxLimits.nodes) values (a YAML bomb?)")
        }
        guard depth + height <= SyntaxLimits.depth else {
            throw SyntaxProblem(position: position, message: "nested deeper than \(SyntaxLimits.depth) levels")
        }
    }

    private mutating func node(
        _ current: (event: YAMLParser.Event, position: TextPosition), depth: Int
    ) throws(SyntaxProblem) -> Anchored {
        let position = current.position
        var result: Anchored
        let name: String?
        switch current.event {
        case .alias(let alias):
            guard var target = anchors[alias] else {
                // The name is not repeated: an unquoted secret may begin with an asterisk.
                throw SyntaxProblem(position: position, message: "an alias (*) without its anchor (&); a text needs quotes here")
            }
            try count(target.size, height: target.height, depth: depth, at: position)
            target.node.position = position
            return target
        case .scalar(let text, let isPlain, let tag, let anchor):
            try count(1, height: 0, depth: depth, at: position)
            let content = try scalar(text, isPlain: isPlain, tag: tag, at: position)
            result = Anchored(node: FieldNode(content, position: position), size: 1, height: 0)
            name = anchor
        case .sequenceStart(let tag, let anchor):
            try check(tag, is: "tag:yaml.org,2002:seq", at: position)
            try count(1, height: 0, depth: depth, at: position)
            result = try sequence(at: position, depth: depth)
            name = anchor
        case .mappingStart(let tag, let anchor):
            try check(tag, is: "tag:yaml.org,2002:map", at: position)
            try count(1, height: 0, depth: depth, at: position)
            result = try mapping(at: position, depth: depth)
            name = anchor
        case .documentStart, .documentEnd, .streamEnd, .sequenceEnd, .mappingEnd:
            throw SyntaxProblem(position: position, message: "invalid YAML: a value is missing")
        }
        if let name { anchors[name] = result }
        return result
    }

    private mutating func sequence(at position: TextPosition, depth: Int) throws(SyntaxProblem) -> Anchored {
        var items: [FieldNode] = []
        var (size, height) = (1, 0)
        while true {
            let current = try next()
            if case .sequenceEnd = current.event { break }
            let item = try node(current, depth: depth + 1)
            items.append(item.node)
            size += item.size
            height = max(height, item.height + 1)
        }
        return Anchored(node: FieldNode(.sequence(items), position: position), size: size, height: height)
    }

    private mutating func mapping(at position: TextPosition, depth: Int) throws(SyntaxProblem) -> Anchored {
        var entries: [FieldEntry] = []
        var merged: [FieldEntry] = []
        var (size, height) = (1, 0)
        while true {
            let current = try next()
            if case .mappingEnd = current.event { break }
            let (key, isMerge) = try self.key(current)
            let value = try node(try next(), depth: depth + 1)
            size += value.size
            height = max(height, value.height + 1)
            if isMerge {
                merged += try mergedEntries(value.node, at: current.position)
            } else {
                entries.append(FieldEntry(key: key, keyPosition: current.position, value: value.node))
            }
        }
        // A merge fills in only what the mapping itself does not say.
        var known = Set(entries.map(\.key))
        for entry in merged where known.insert(entry.key).inserted { entries.append(entry) }
        return Anchored(node: FieldNode(.mapping(entries), position: position), size: size, height: height)
    }

    private mutating func key(
        _ current: (event: YAMLParser.Event, position: TextPosition)
    ) throws(SyntaxProblem) -> (text: String, isMerge: Bool) {
        switch current.event {
        case .scalar(let text, let isPlain, let tag, let anchor):
            if let anchor {
                anchors[anchor] = Anchored(
                    node: FieldNode(resolveScalar(text, isPlain: isPlain), position: current.position), size: 1, height: 0)
            }
            return (text, isPlain && tag == nil && text == "<<")
        case .alias(let name):
            if case .string(let text)? = anchors[name]?.node.content { return (text, false) }
        default: break
        }
        throw SyntaxProblem(position: current.position, message: "a key must be a single text; quote it if it begins with a sign")
    }

    private func mergedEntries(_ node: FieldNode, at position: TextPosition) throws(SyntaxProblem) -> [FieldEntry] {
        switch node.content {
        case .mapping(let entries): return entries
        case .sequence(let nodes):
            var entries: [FieldEntry] = []
            for node in nodes {
                guard case .mapping(let more) = node.content else {
                    throw SyntaxProblem(position: position, message: "<< wants a mapping, or a list of some")
                }
                entries += more
            }
            return entries
        default: throw SyntaxProblem(position: position, message: "<< wants a mapping, or a list of some")
        }
    }

    private func check(_ tag: String?, is expected: String, at position: TextPosition) throws(SyntaxProblem) {
        guard tag == nil || tag == expected || tag == "!" else {
            throw SyntaxProblem(position: position, message: "this YAML tag has no place here; remove it")
        }
    }

    private func scalar(
        _ text: String, isPlain: Bool, tag: String?, at position: TextPosition
    ) throws(SyntaxProblem) -> FieldNode.Content {
        switch tag {
        case nil: return resolveScalar(text, isPlain: isPlain)
        case "!", "tag:yaml.org,2002:str": return .string(text)
        case "tag:yaml.org,2002:int", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:float", "tag:yaml.org,2002:null":
            return resolveScalar(text, isPlain: true)
        default:
            throw SyntaxProblem(position: position, message: "this YAML tag has no place here; remove it, or quote the text")
        }
    }
}

/// What a scalar means; a quoted one is a text.
func resolveScalar(_ text: String, isPlain: Bool) -> FieldNode.Content {
    guard isPlain else { return .string(text) }
    switch text {
    case "", "~", "null", "Null", "NULL": return .null
    case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON": return .bool(true)
    case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF": return .bool(false)
    default: return resolveNumber(text) ?? .string(text)
    }
}

/// A number as JSON writes it, a plus sign and a bare point allowed.
private func resolveNumber(_ text: String) -> FieldNode.Content? {
    var rest = text.utf8[...]
    if rest.first == UInt8(ascii: "-") || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
    let whole = rest.prefix { $0 >= 0x30 && $0 <= 0x39 }
    guard let first = rest.first, first >= 0x30 && first <= 0x39 || first == UInt8(ascii: "."),
        whole.count <= 1 || first != UInt8(ascii: "0"),
        rest.allSatisfy({ ($0 >= 0x30 && $0 <= 0x39) || ".eE+-".utf8.contains($0) })
    else { return nil }
    if whole.count == rest.count, let value = Int64(text) { return .integer(value) }
    return Double(text).flatMap { $0.isFinite ? .number($0) : nil }
}
