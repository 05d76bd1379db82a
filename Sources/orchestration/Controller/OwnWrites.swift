import EdgeAPI
import Informers

/// The newest answers to our writes of one kind, until the watch has caught up with them.
struct OwnWrites<Object: Sendable>: Sendable {
    private var objects: [ObjectName: Object] = [:]
    private var sweepAt = Self.least
    private let metadata: @Sendable (Object) -> ObjectMeta

    /// As many may stay that nobody asks for.
    static var least: Int { 32 }

    init(metadata: @escaping @Sendable (Object) -> ObjectMeta) { self.metadata = metadata }

    var count: Int { objects.count }

    /// - Parameter watched: what the watch has told of a name.
    mutating func remember(_ object: Object, watched: (ObjectName) -> Object?) {
        objects[metadata(object).objectName] = object
        guard objects.count > sweepAt else { return }
        objects = objects.filter { isNewer($0.value, than: watched($0.key)) }
        sweepAt = max(Self.least, 2 * objects.count)
    }

    /// What the watch tells, or our own write where that is newer; a write that the watch has caught up with is forgotten.
    mutating func newest(_ name: ObjectName, watched: Object?) -> Object? {
        guard let ours = objects[name] else { return watched }
        if isNewer(ours, than: watched) { return ours }
        objects[name] = nil
        return watched
    }

    private func isNewer(_ ours: Object, than watched: Object?) -> Bool {
        guard let watched, metadata(watched).uid == metadata(ours).uid else { return false }
        return isOlder(metadata(watched).resourceVersion, than: metadata(ours).resourceVersion)
    }
}
