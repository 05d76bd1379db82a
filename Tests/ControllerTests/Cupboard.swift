import Documents
import EdgeAPI
import JSON
import KubernetesAPI
import Synchronization

/// The messages of an API server that keeps objects, and writes down what it was asked. What a real one does with them is for
/// the end-to-end tests.
final class Cupboard: Sendable {
    struct State {
        var objects: [String: FieldNode] = [:]
        var version = 100
        var requests: [String] = []
        /// Answers to the next requests, by `METHOD path`; taken first.
        var errors: [String: [APIError]] = [:]
        /// The same for requests that are done all the same.
        var lostAnswers: [String: [APIError]] = [:]
        /// What happens with the next of these.
        var whenRefused: (@Sendable (inout State) -> Void)?
    }

    let state = Mutex(State())

    var server: APIServer {
        APIServer(answer: { request throws(APIError) in try self.answer(request) }) { request throws(APIError) in
            throw .unreachable("no watch here")
        }
    }

    /// What was asked since the last call.
    func take() -> [String] {
        state.withLock { state in
            defer { state.requests = [] }
            return state.requests
        }
    }

    func put(_ path: String, _ object: FieldValue) { state.withLock { $0.objects[path] = $0.stored(object) } }
    func object(_ path: String) -> FieldNode? { state.withLock { $0.objects[path] } }
    func remove(_ path: String) { state.withLock { $0.objects[path] = nil } }

    private func answer(_ request: APIRequest) throws(APIError) -> [UInt8] {
        try state.withLock { state throws(APIError) in
            let line = "\(request.method.rawValue) \(request.path)"
            state.requests.append(line)
            if let error = state.errors[line]?.first {
                state.errors[line]?.removeFirst()
                state.whenRefused.take()?(&state)
                throw error
            }
            let body = request.body.flatMap { try? FieldNode(json: $0) }
            let answer = try Self.perform(request, body, &state)
            if let error = state.lostAnswers[line]?.first {
                state.lostAnswers[line]?.removeFirst()
                throw error
            }
            return answer
        }
    }

    private static func perform(
        _ request: APIRequest, _ body: FieldNode?, _ state: inout State
    ) throws(APIError) -> [UInt8] {
        switch request.method {
        case .get:
            guard let object = state.objects[request.path] else { throw Self.notFound }
            return Self.bytes(object)
        case .post:
            let path = "\(request.path)/\(body?["metadata"]?["name"]?.text ?? "")"
            guard state.objects[path] == nil else {
                throw .status(APIStatus(code: 409, reason: "AlreadyExists", message: path))
            }
            return state.store(path, Self.value(body))
        case .put: return state.store(request.path, Self.value(body))
        case .patch where request.contentType == "application/apply-patch+yaml":
            if let old = state.objects[request.path], Self.content(old) == Self.value(body) { return Self.bytes(old) }
            return state.store(request.path, Self.value(body))
        case .patch:
            guard state.objects[request.path] != nil else { throw Self.notFound }
            return Self.bytes(FieldNode(value: Self.value(body)))
        case .delete:
            guard state.objects.removeValue(forKey: request.path) != nil else { throw Self.notFound }
            return Array(#"{"kind":"Status","status":"Success"}"#.utf8)
        }
    }

    private static var notFound: APIError { .status(APIStatus(code: 404, reason: "NotFound", message: "not found")) }

    static func value(_ node: FieldNode?) -> FieldValue {
        switch node?.content {
        case nil, .null: .null
        case .bool(let value): .bool(value)
        case .integer(let value): .integer(value)
        case .number(let value): .number(value)
        case .string(let value): .string(value)
        case .sequence(let values): .array(values.map { value($0) })
        case .mapping(let entries):
            .object(FieldMembers(entries.reversed().map { (key: $0.key, value: value($0.value)) }))
        }
    }

    /// Without what the server added.
    private static func content(_ node: FieldNode) -> FieldValue {
        guard case .object(var fields) = value(node), case .object(var metadata)? = fields["metadata"] else { return value(node) }
        metadata["resourceVersion"] = nil
        metadata["uid"] = nil
        fields["metadata"] = .object(metadata)
        return .object(fields)
    }

    private static func bytes(_ node: FieldNode) -> [UInt8] { Array(value(node).json.utf8) }
}

extension Cupboard.State {
    mutating func put(_ path: String, _ object: FieldValue) { objects[path] = stored(object) }

    fileprivate mutating func stored(_ object: FieldValue) -> FieldNode {
        guard case .object(var fields) = object, case .object(var metadata)? = fields["metadata"] else {
            return FieldNode(value: object)
        }
        version += 1
        metadata["resourceVersion"] = .string("\(version)")
        metadata["uid"] = metadata["uid"] ?? .string("uid-\(version)")
        fields["metadata"] = .object(metadata)
        return FieldNode(value: .object(fields))
    }

    fileprivate mutating func store(_ path: String, _ object: FieldValue) -> [UInt8] {
        let node = stored(object)
        objects[path] = node
        return Array(Cupboard.value(node).json.utf8)
    }
}
