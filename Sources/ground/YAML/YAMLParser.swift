import CLibyaml
import Documents

/// Owns one libyaml parser and the text it reads, and hands its events out as values.
final class YAMLParser {
    enum Event {
        case documentStart
        case documentEnd
        case streamEnd
        case alias(name: String)
        case scalar(text: String, isPlain: Bool, tag: String?, anchor: String?)
        case sequenceStart(tag: String?, anchor: String?)
        case sequenceEnd
        case mappingStart(tag: String?, anchor: String?)
        case mappingEnd
    }

    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let text: UnsafeMutableBufferPointer<UInt8>

    /// - Throws: `SyntaxProblem` when there is no memory for it.
    init(_ bytes: [UInt8]) throws(SyntaxProblem) {
        parser = .allocate(capacity: 1)
        text = .allocate(capacity: bytes.count)
        _ = text.initialize(from: bytes)
        guard yaml_parser_initialize(parser) == 1 else {
            parser.deallocate()
            text.deallocate()
            throw SyntaxProblem(position: nil, message: "no memory to read the YAML text")
        }
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(parser, text.baseAddress, text.count)
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
        text.deallocate()
    }

    /// - Returns: the next event, where it begins, and how many characters of the text lie before its end.
    /// - Throws: `SyntaxProblem` at what is no YAML. Its message holds nothing of the text, which may be a secret.
    func next() throws(SyntaxProblem) -> (event: Event, position: TextPosition, offset: Int) {
        while true {
            var event = yaml_event_t()
            guard yaml_parser_parse(parser, &event) == 1 else { throw problem() }
            defer { yaml_event_delete(&event) }
            let position = Self.position(event.start_mark)
            if let value = try Self.value(of: event, at: position) {
                return (value, position, event.end_mark.index)
            }
        }
    }

    /// - Returns: nil for the start of the stream, which says nothing.
    private static func value(of event: yaml_event_t, at position: TextPosition) throws(SyntaxProblem) -> Event? {
        switch event.type {
        case YAML_DOCUMENT_START_EVENT: return .documentStart
        case YAML_DOCUMENT_END_EVENT: return .documentEnd
        // libyaml answers with no event at all after the stream's end.
        case YAML_STREAM_END_EVENT, YAML_NO_EVENT: return .streamEnd
        case YAML_ALIAS_EVENT: return .alias(name: string(event.data.alias.anchor) ?? "")
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            let bytes = UnsafeBufferPointer(start: scalar.value, count: scalar.length)
            guard !bytes.contains(0) else {
                throw SyntaxProblem(position: position, message: "a NUL character has no place in a manifest")
            }
            let isPlain = scalar.style == YAML_PLAIN_SCALAR_STYLE
            return .scalar(
                text: String(decoding: bytes, as: UTF8.self), isPlain: isPlain, tag: string(scalar.tag),
                anchor: string(scalar.anchor))
        case YAML_SEQUENCE_START_EVENT:
            return .sequenceStart(tag: string(event.data.sequence_start.tag), anchor: string(event.data.sequence_start.anchor))
        case YAML_SEQUENCE_END_EVENT: return .sequenceEnd
        case YAML_MAPPING_START_EVENT:
            return .mappingStart(tag: string(event.data.mapping_start.tag), anchor: string(event.data.mapping_start.anchor))
        case YAML_MAPPING_END_EVENT: return .mappingEnd
        default: return nil
        }
    }

    private static func position(_ mark: yaml_mark_t) -> TextPosition {
        TextPosition(line: Int(mark.line) + 1, column: Int(mark.column) + 1)
    }

    private static func string(_ pointer: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        pointer.map { String(cString: $0) }
    }

    private func problem() -> SyntaxProblem {
        let failed = parser.pointee
        let reason = failed.problem.map { String(cString: $0) } ?? "not readable"
        if failed.error == YAML_READER_ERROR {
            return SyntaxProblem(position: position(ofByte: failed.problem_offset), message: "invalid text: \(reason)")
        }
        var message = "invalid YAML: \(reason)"
        if let context = failed.context {
            message += " \(String(cString: context))"
            let line = Int(failed.context_mark.line) + 1
            if line != Int(failed.problem_mark.line) + 1 { message += " that begins at line \(line)" }
        }
        // An asterisk, an ampersand, an exclamation mark, and those with which nothing may begin.
        let isSign = ["while scanning an alias", "while scanning an anchor", "while scanning a tag", "while parsing a tag"]
            .contains(failed.context.map { String(cString: $0) })
        if isSign || reason.contains("cannot start any token") {
            message += "; a text that begins with a sign needs quotes, as \"*.example.com\" does"
        }
        let position = Self.position(failed.problem_mark)
        if isTab(at: position) { message += "; indent with spaces, not with a tab" }
        return SyntaxProblem(position: position, message: message)
    }

    private func position(ofByte offset: Int) -> TextPosition {
        let before = text.prefix(max(0, min(offset, text.count)))
        let lineStart = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
        return TextPosition(line: 1 + before.count { $0 == 0x0A }, column: before.count - lineStart + 1)
    }

    private func isTab(at position: TextPosition) -> Bool {
        let lines = text.split(separator: 0x0A, maxSplits: position.line, omittingEmptySubsequences: false)
        guard position.line <= lines.count else { return false }
        return lines[position.line - 1].dropFirst(position.column - 1).first == 0x09
    }
}
