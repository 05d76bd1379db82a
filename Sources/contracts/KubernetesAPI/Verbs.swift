public import Documents
public import EdgeAPI
public import JSON

/// Which objects of a collection are meant.
public struct APISelector: Hashable, Sendable {
    /// Nil for all namespaces.
    public var namespace: String?
    /// Such as `app=uplink`; nil for all.
    public var labels: String?
    /// Such as `metadata.name=web`; nil for all.
    public var fields: String?

    public init(namespace: String? = nil, labels: String? = nil, fields: String? = nil) {
        self.namespace = namespace
        self.labels = labels
        self.fields = fields
    }

    var query: [(name: String, value: String)] {
        var query: [(name: String, value: String)] = []
        if let labels { query.append(("labelSelector", labels)) }
        if let fields { query.append(("fieldSelector", fields)) }
        return query
    }
}

/// One page of a list.
public struct APIPage: Sendable {
    public var items: [FieldNode]
    /// Of the whole list; where a watch goes on from.
    public var resourceVersion: String
    /// What asks for the next page; nil on the last.
    public var next: String?
}

/// What must be so for a deletion to happen; nil asks for nothing.
public struct APIPreconditions: Hashable, Sendable {
    public var uid: String?
    public var resourceVersion: String?

    public init(uid: String? = nil, resourceVersion: String? = nil) {
        self.uid = uid
        self.resourceVersion = resourceVersion
    }
}

/// The verbs of the API. Each may be repeated; `create` alone answers 409 then.
extension APIServer {
    /// Our name in `managedFields`.
    public static let fieldManager = "tidegate"
    /// Bytes; far above an object (etcd keeps 1.5 MiB) and a page of a list.
    public static let answerLimit = 64 << 20
    /// Bytes of a page of more than one object: as JSON values it takes some twenty times as much, and anybody's objects are in it.
    public static let pageLimit = 4 << 20

    /// - Parameter parts: what is kept of the object.
    /// - Returns: nil when there is none.
    public func get(
        _ resource: APIResource, _ name: ObjectName, parts: JSONParts = .all
    ) async throws(APIError) -> FieldNode? {
        do throws(APIError) {
            return try await object(APIRequest(.get, resource.path(namespace: name.namespace, name: name.name)), parts: parts)
        } catch  where error.isNotFound {
            return nil
        }
    }

    /// - Parameters:
    ///   - limit: objects in a page; nil for all at once.
    ///   - next: from the page before.
    ///   - resourceVersion: nil reads the newest; "0" takes what a cache of the server holds.
    ///   - parts: what is kept of each object.
    /// - Throws: `.malformed` also for a page of several objects that is longer than `pageLimit`: ask for fewer.
    public func list(
        _ resource: APIResource, _ selector: APISelector, limit: Int? = nil, next: String? = nil,
        resourceVersion: String? = nil, parts: JSONParts = .all
    ) async throws(APIError) -> APIPage {
        var query = selector.query
        if let limit { query.append(("limit", "\(limit)")) }
        if let next { query.append(("continue", next)) }
        if let resourceVersion, next == nil { query.append(("resourceVersion", resourceVersion)) }
        var request = APIRequest(.get, resource.path(namespace: selector.namespace), query: query)
        if limit != 1 { request.answerLimit = Self.pageLimit }
        let node = try await object(
            request,
            parts: parts == .all ? .all : .fields(["items": .each(parts)], others: true))
        guard let items = node["items"]?.items, let version = node["metadata"]?["resourceVersion"]?.text else {
            throw .malformed("a list of \(resource.plural) without items or resourceVersion")
        }
        let mark = node["metadata"]?["continue"]?.text
        return APIPage(items: items, resourceVersion: version, next: mark == "" ? nil : mark)
    }

    /// Opens a watch; the stream's pieces are lines of JSON, cut anywhere.
    /// - Parameters:
    ///   - resourceVersion: where to go on; with `initialEvents` nil.
    ///   - initialEvents: asks for the present objects first, and a bookmark after them (Kubernetes 1.32 on; older ones say 422).
    ///   - timeout: seconds after which the server ends the watch.
    public func watch(
        _ resource: APIResource, _ selector: APISelector, resourceVersion: String?, initialEvents: Bool = false, timeout: Int
    ) async throws(APIError) -> APIStream {
        var query = selector.query + [("watch", "true"), ("allowWatchBookmarks", "true"), ("timeoutSeconds", "\(timeout)")]
        if let resourceVersion { query.append(("resourceVersion", resourceVersion)) }
        if initialEvents { query += [("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan")] }
        return try await stream(APIRequest(.get, resource.path(namespace: selector.namespace), query: query))
    }

    @discardableResult public func create(
        _ resource: APIResource, namespace: String?, _ object: FieldValue
    ) async throws(APIError) -> FieldNode {
        try await self.object(
            APIRequest(
                .post, resource.path(namespace: namespace), query: [("fieldManager", Self.fieldManager)],
                contentType: "application/json", body: Array(object.json.utf8)))
    }

    /// Replaces an object; one with a resourceVersion only when nobody changed it since (409 otherwise).
    @discardableResult public func update(
        _ resource: APIResource, _ name: ObjectName, _ object: FieldValue
    ) async throws(APIError) -> FieldNode {
        try await self.object(
            APIRequest(
                .put, resource.path(namespace: name.namespace, name: name.name), query: [("fieldManager", Self.fieldManager)],
                contentType: "application/json", body: Array(object.json.utf8)))
    }

    /// RFC 7386; null removes. With `metadata.resourceVersion` in the patch only when nobody changed the object since.
    @discardableResult public func mergePatch(
        _ resource: APIResource, _ name: ObjectName, _ patch: FieldValue
    ) async throws(APIError) -> FieldNode {
        try await self.object(
            APIRequest(
                .patch, resource.path(namespace: name.namespace, name: name.name), query: [("fieldManager", Self.fieldManager)],
                contentType: "application/merge-patch+json", body: Array(patch.json.utf8)))
    }

    /// Server-side apply: the fields in `object` are ours from now on, those that we had and that are not in it go.
    /// - Parameter force: takes fields of other managers over; 409 names them otherwise.
    @discardableResult public func apply(
        _ resource: APIResource, _ name: ObjectName, subresource: String? = nil, _ object: FieldValue, force: Bool
    ) async throws(APIError) -> FieldNode {
        try await self.object(
            APIRequest(
                .patch, resource.path(namespace: name.namespace, name: name.name, subresource: subresource),
                query: [("fieldManager", Self.fieldManager), ("force", force ? "true" : "false")],
                contentType: "application/apply-patch+yaml", body: Array(object.json.utf8)))
    }

    /// Deletes an object; its dependents follow in the background. One that is not there counts as deleted.
    /// - Throws: 409 when the preconditions do not hold.
    public func delete(
        _ resource: APIResource, _ name: ObjectName, _ preconditions: APIPreconditions = APIPreconditions()
    ) async throws(APIError) {
        var conditions: FieldMembers = [:]
        if let uid = preconditions.uid { conditions["uid"] = .string(uid) }
        if let version = preconditions.resourceVersion { conditions["resourceVersion"] = .string(version) }
        var options: FieldMembers = [
            "apiVersion": .string("v1"), "kind": .string("DeleteOptions"), "propagationPolicy": .string("Background"),
        ]
        if !conditions.isEmpty { options["preconditions"] = .object(conditions) }
        do throws(APIError) {
            _ = try await answer(
                APIRequest(
                    .delete, resource.path(namespace: name.namespace, name: name.name), contentType: "application/json",
                    body: Array(FieldValue.object(options).json.utf8)))
        } catch  where error.isNotFound {
            return
        }
    }

    private func object(_ request: APIRequest, parts: JSONParts = .all) async throws(APIError) -> FieldNode {
        let body = try await answer(request)
        do throws(SyntaxProblem) {
            return try FieldNode(json: body, limit: request.answerLimit ?? Self.answerLimit, replacesNUL: true, parts: parts)
        } catch {
            throw .malformed("\(request.method.rawValue) \(request.path): \(error)")
        }
    }
}
