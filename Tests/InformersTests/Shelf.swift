import Documents
import EdgeAPI
import JSON
import KubernetesAPI
import Synchronization

/// What stands behind the `APIServer` seam in these tests: objects on a shelf, and watches that tell of them.
final class Shelf: Sendable {
    struct Key: Hashable {
        var plural: String
        var name: ObjectName
    }

    private struct Watch {
        var plural: String
        var namespace: String?
        var name: String?
        var pipe: Pipe
    }

    private struct State {
        var objects: [Key: FieldMembers] = [:]
        var version = 100
        var log: [(version: Int, key: Key, line: String)] = []
        var forgotten = 0
        var watches: [Watch] = []
        var requests: [String] = []
        var offersInitialEvents = true
        /// Says what is wrong with a request; nil for nothing.
        var refusal: @Sendable (String) -> APIError? = { _ in nil }
        /// Requests that are never answered.
        var hangs: @Sendable (String) -> Bool = { _ in false }
        /// Answers that are on their way until the pipe ends.
        var slow: (text: String, gate: Pipe)?
    }

    private let state = Mutex(State())

    /// As `list things edge`, `stream things edge/a`, `watch things edge 105`, `get things edge/a`, `patch leases edge/l`.
    var requests: [String] { state.withLock { $0.requests } }
    func forgetRequests() { state.withLock { $0.requests = [] } }
    func refuse(_ refusal: @escaping @Sendable (String) -> APIError?) { state.withLock { $0.refusal = refusal } }
    func hang(_ hangs: @escaping @Sendable (String) -> Bool) { state.withLock { $0.hangs = hangs } }
    /// The answer to the next such request, as of when it was asked, arrives when the pipe ends.
    func delay(_ text: String) -> Pipe {
        let gate = Pipe()
        state.withLock { $0.slow = (text, gate) }
        return gate
    }
    func offerNoInitialEvents() { state.withLock { $0.offersInitialEvents = false } }
    /// Watches from before now get 410.
    func forget() { state.withLock { $0.forgotten = $0.version } }
    var openWatches: Int { state.withLock { $0.watches.count { !$0.pipe.isClosed } } }

    func cutWatches(_ error: APIError? = .unreachable("cut")) {
        let watches = state.withLock { state in
            defer { state.watches = [] }
            return state.watches
        }
        for watch in watches { watch.pipe.end(error) }
    }

    /// Sends a line to every watch.
    func tell(_ line: String) { for watch in state.withLock({ $0.watches }) { watch.pipe.write(line + "\n") } }

    // MARK: Objects

    @discardableResult func put(_ plural: String, _ name: ObjectName, _ fields: FieldMembers) -> FieldValue {
        state.withLock { put(&$0, Key(plural: plural, name: name), fields) }
    }

    func put(_ name: String, in namespace: String = "edge", word: String, owner: String? = nil) {
        var spec: FieldMembers = ["word": .string(word)]
        if let owner { spec["owner"] = .string(owner) }
        put("things", ObjectName(namespace: namespace, name: name), ["spec": .object(spec)])
    }

    func remove(_ plural: String, _ name: ObjectName) {
        state.withLock { state in
            let key = Key(plural: plural, name: name)
            guard var object = state.objects.removeValue(forKey: key) else { return }
            state.version += 1
            Self.setMetadata(&object, "resourceVersion", "\(state.version)")
            publish(&state, key, "DELETED", .object(object))
        }
    }

    func fields(_ plural: String, _ name: ObjectName) -> FieldNode? {
        state.withLock { $0.objects[Key(plural: plural, name: name)] }.map { FieldNode(value: .object($0)) }
    }

    func names(_ plural: String) -> [ObjectName] {
        state.withLock { state in state.objects.keys.filter { $0.plural == plural }.map(\.name).sorted() }
    }

    private func put(_ state: inout State, _ key: Key, _ fields: FieldMembers) -> FieldValue {
        let old = state.objects[key].map { FieldNode(value: .object($0)) }
        state.version += 1
        var object = fields
        Self.setMetadata(&object, "name", key.name.name)
        Self.setMetadata(&object, "namespace", key.name.namespace)
        Self.setMetadata(&object, "uid", old?["metadata"]?["uid"]?.text ?? "uid-\(state.version)")
        Self.setMetadata(&object, "resourceVersion", "\(state.version)")
        state.objects[key] = object
        publish(&state, key, old == nil ? "ADDED" : "MODIFIED", .object(object))
        return .object(object)
    }

    private static func setMetadata(_ object: inout FieldMembers, _ name: String, _ value: String) {
        guard case .object(var metadata) = object["metadata"] ?? .object([:]) else { return }
        metadata[name] = .string(value)
        object["metadata"] = .object(metadata)
    }

    private func publish(_ state: inout State, _ key: Key, _ type: String, _ object: FieldValue) {
        let line = #"{"type":"\#(type)","object":\#(object.json)}"# + "\n"
        state.log.append((state.version, key, line))
        for watch in state.watches where Self.sees(watch.plural, watch.namespace, watch.name, key) { watch.pipe.write(line) }
    }

    private static func sees(_ plural: String, _ namespace: String?, _ name: String?, _ key: Key) -> Bool {
        key.plural == plural && (namespace ?? key.name.namespace) == key.name.namespace
            && (name ?? key.name.name) == key.name.name
    }

    // MARK: The seam

    var server: APIServer {
        APIServer(
            answer: { request throws(APIError) in
                let ask = try await self.admit(request)
                let (answer, gate) = self.state.withLock { state in
                    let answer = Result { () throws(APIError) in Array(try self.answer(&state, request, ask).json.utf8) }
                    guard state.slow?.text == ask.text else { return (answer, Pipe?.none) }
                    return (answer, state.slow.take()?.gate)
                }
                if let gate { _ = try await gate.stream.next() }
                return try answer.get()
            },
            stream: { request throws(APIError) in
                let ask = try await self.admit(request)
                return try self.state.withLock { state throws(APIError) in try self.watch(&state, ask) }
            })
    }

    private func admit(_ request: APIRequest) async throws(APIError) -> Ask {
        let ask = Ask(request)
        let (refusal, hangs) = state.withLock { state in
            state.requests.append(ask.text)
            return (state.refusal, state.hangs)
        }
        if hangs(ask.text) { _ = try await Pipe().stream.next() }
        if Task.isCancelled { throw .cancelled }
        if let error = refusal(ask.text) { throw error }
        return ask
    }

    private func answer(_ state: inout State, _ request: APIRequest, _ ask: Ask) throws(APIError) -> FieldValue {
        let key = ask.key
        switch request.method {
        case .get where ask.isCollection:
            let found = state.objects.filter { Self.sees(ask.plural, ask.namespace, ask.name, $0.key) }
                .sorted { $0.key.name < $1.key.name }.map(\.value)
            let start = ask.next ?? 0
            let end = min(found.count, start + (ask.limit ?? found.count))
            var metadata: FieldMembers = ["resourceVersion": .string("\(state.version)")]
            if end < found.count { metadata["continue"] = .string("\(end)") }
            return .object(["metadata": .object(metadata), "items": .array(found[start..<end].map { .object($0) })])
        case .get:
            guard let object = state.objects[key] else { throw Self.error(404, "NotFound") }
            return .object(object)
        case .post:
            guard case .object(let object) = Self.value(request.body),
                let name = FieldNode(value: .object(object))["metadata"]?["name"]?.text
            else { throw Self.error(400, "BadRequest") }
            let key = Key(plural: ask.plural, name: ObjectName(namespace: ask.namespace ?? "", name: name))
            guard state.objects[key] == nil else { throw Self.error(409, "AlreadyExists") }
            return put(&state, key, object)
        case .patch:
            guard let object = state.objects[key] else { throw Self.error(404, "NotFound") }
            let patch = Self.value(request.body)
            let asked = FieldNode(value: patch)["metadata"]?["resourceVersion"]?.text
            let have = FieldNode(value: .object(object))["metadata"]?["resourceVersion"]?.text
            if let asked, asked != have { throw Self.error(409, "Conflict") }
            guard case .object(let merged) = Self.merge(.object(object), patch) else { throw Self.error(400, "BadRequest") }
            return put(&state, key, merged)
        case .put, .delete: throw Self.error(405, "MethodNotAllowed")
        }
    }

    private func watch(_ state: inout State, _ ask: Ask) throws(APIError) -> APIStream {
        let pipe = Pipe()
        func line(_ type: String, _ object: String) { pipe.write(#"{"type":"\#(type)","object":\#(object)}"# + "\n") }
        if ask.wantsInitialEvents {
            guard state.offersInitialEvents else { throw Self.error(422, "Invalid") }
            for (key, object) in state.objects where Self.sees(ask.plural, ask.namespace, ask.name, key) {
                line("ADDED", FieldValue.object(object).json)
            }
            let mark = #""annotations":{"k8s.io/initial-events-end":"true"}"#
            line("BOOKMARK", #"{"metadata":{"resourceVersion":"\#(state.version)",\#(mark)}}"#)
        } else if let version = ask.version {
            if version < state.forgotten {
                line("ERROR", #"{"kind":"Status","message":"too old","reason":"Expired","code":410}"#)
                pipe.end()
            }
            for entry in state.log where entry.version > version && Self.sees(ask.plural, ask.namespace, ask.name, entry.key) {
                pipe.write(entry.line)
            }
        }
        state.watches.append(Watch(plural: ask.plural, namespace: ask.namespace, name: ask.name, pipe: pipe))
        return pipe.stream
    }

    static func error(_ code: Int, _ reason: String) -> APIError {
        .status(APIStatus(code: code, reason: reason, message: reason))
    }

    private static func value(_ body: [UInt8]?) -> FieldValue {
        guard let body, let node = try? FieldNode(json: body) else { return .null }
        return value(node)
    }

    private static func value(_ node: FieldNode) -> FieldValue {
        switch node.content {
        case .null: .null
        case .bool(let value): .bool(value)
        case .integer(let value): .integer(value)
        case .number(let value): .number(value)
        case .string(let value): .string(value)
        case .sequence(let values): .array(values.map { value($0) })
        case .mapping(let entries): .object(FieldMembers(entries.map { (key: $0.key, value: value($0.value)) }))
        }
    }

    private static func merge(_ old: FieldValue, _ patch: FieldValue) -> FieldValue {
        guard case .object(let changes) = patch else { return patch }
        guard case .object(var fields) = old else { return patch }
        for (name, value) in changes { fields[name] = value == .null ? nil : merge(fields[name] ?? .null, value) }
        return .object(fields)
    }
}
