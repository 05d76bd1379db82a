import EdgeAPI
import KubernetesAPI

/// What a request asks for, taken apart.
struct Ask {
    var plural: String
    var namespace: String?
    /// From the path, or from the selector of a collection.
    var name: String?
    var isCollection: Bool
    var limit: Int?
    var next: Int?
    var version: Int?
    var wantsInitialEvents: Bool
    /// As `Shelf.requests` has it.
    var text: String

    init(_ request: APIRequest) {
        // /api/v1/… or /apis/group/version/…
        var parts = request.path.split(separator: "/").map { String($0) }
        parts.removeFirst(parts.first == "api" ? 2 : 3)
        if parts.first == "namespaces", parts.count > 2 {
            namespace = parts[1]
            parts.removeFirst(2)
        }
        plural = parts[0]
        isCollection = parts.count == 1
        let query = Dictionary(request.query.map { ($0.name, $0.value) }) { $1 }
        name = parts.count > 1 ? parts[1] : query["fieldSelector"].map { String($0.dropFirst("metadata.name=".count)) }
        limit = query["limit"].flatMap { Int($0) }
        next = query["continue"].flatMap { Int($0) }
        version = query["resourceVersion"].flatMap { Int($0) }
        wantsInitialEvents = query["sendInitialEvents"] == "true"
        let isWatch = query["watch"] == "true"
        let verb =
            switch request.method {
            case .get where isWatch: wantsInitialEvents ? "stream" : "watch"
            case .get: isCollection ? "list" : "get"
            case .post: "create"
            case .patch: "patch"
            case .put: "update"
            case .delete: "delete"
            }
        let place = [namespace, name].compactMap { $0 }.joined(separator: "/")
        let detail = isWatch && !wantsInitialEvents ? version.map { " \($0)" } ?? "" : next.map { " from \($0)" } ?? ""
        text = "\(verb) \(plural)\(place.isEmpty ? "" : " \(place)")\(detail)"
    }

    var key: Shelf.Key { Shelf.Key(plural: plural, name: ObjectName(namespace: namespace ?? "", name: name ?? "")) }
}
