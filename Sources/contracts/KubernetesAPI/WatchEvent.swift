public import Documents
import NetworkTypes

/// One event of a watch.
public enum WatchEvent: Hashable, Sendable {
    case added(FieldNode)
    case modified(FieldNode)
    /// As the object last was, with the resourceVersion of its deletion.
    case deleted(FieldNode)
    /// Everything up to this resourceVersion has been told.
    /// - `endsInitialEvents`: whether with it the present objects are complete, in a watch that asked for them.
    case bookmark(resourceVersion: String, endsInitialEvents: Bool)
    /// The watch ends; 410 asks for a new list.
    case error(APIStatus)

    /// The annotation of the bookmark that ends the initial events (KEP-3157).
    static let initialEventsEnd = "k8s.io/initial-events-end"

    /// - Parameters:
    ///   - line: one JSON text, as `WatchFramer` gives it.
    ///   - parts: what is kept of the object.
    /// - Throws: `.malformed` for anything that is no event.
    public init(line: [UInt8], parts: JSONParts = .all) throws(APIError) {
        let node: FieldNode
        do throws(SyntaxProblem) {
            node = try FieldNode(
                json: line, limit: line.count, replacesNUL: true,
                parts: parts == .all ? .all : .fields(["object": parts], others: true))
        } catch {
            throw .malformed("an event of a watch: \(error)")
        }
        guard let type = node["type"]?.text, let object = node["object"], object.entries != nil else {
            throw .malformed("an event of a watch without type or object")
        }
        switch type {
        case "ADDED": self = .added(object)
        case "MODIFIED": self = .modified(object)
        case "DELETED": self = .deleted(object)
        case "BOOKMARK":
            guard let version = object["metadata"]?["resourceVersion"]?.text, !version.isEmpty else {
                throw .malformed("a bookmark without resourceVersion")
            }
            let mark = object["metadata"]?["annotations"]?[Self.initialEventsEnd]?.text
            self = .bookmark(resourceVersion: version, endsInitialEvents: mark == "true")
        case "ERROR": self = .error(APIStatus(code: nil, node: object))
        default: throw .malformed("a watch's event of the unknown type \(printable(String(type.prefix(40))))")
        }
    }

    /// The resourceVersion after which a watch goes on; nil for an error, and for an object that names none.
    public var resourceVersion: String? {
        switch self {
        case .added(let object), .modified(let object), .deleted(let object): object["metadata"]?["resourceVersion"]?.text
        case .bookmark(let version, _): version
        case .error: nil
        }
    }
}

/// A watch as its events. One task at a time asks for the next.
public struct WatchEvents: Sendable {
    private let stream: APIStream
    private var framer: WatchFramer
    /// In reverse order.
    private var waiting: [[UInt8]] = []
    private let parts: JSONParts

    /// - Parameter parts: what is kept of each object.
    public init(_ stream: APIStream, eventLimit: Int = WatchFramer.eventLimit, parts: JSONParts = .all) {
        self.stream = stream
        self.parts = parts
        framer = WatchFramer(limit: eventLimit)
    }

    /// - Returns: nil when the server ended the watch in good order.
    public mutating func next() async throws(APIError) -> WatchEvent? {
        while true {
            if let line = waiting.popLast() { return try WatchEvent(line: line, parts: parts) }
            guard let piece = try await stream.next() else {
                try framer.finish()
                return nil
            }
            waiting = try framer.feed(piece).reversed()
        }
    }
}
