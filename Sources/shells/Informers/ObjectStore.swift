public import EdgeAPI

/// A way to find objects by others that they name, such as PortBindings by their EdgeNode.
public struct ObjectIndex<Object: Sendable>: Sendable {
    /// Tells indexes apart.
    public let name: String
    /// Under which names the object is found; for the same object always the same.
    public let keys: @Sendable (Object) -> [ObjectName]

    public init(_ name: String, keys: @escaping @Sendable (Object) -> [ObjectName]) {
        self.name = name
        self.keys = keys
    }
}

/// The objects of an informer and their indexes: a value that tells what each step changed.
struct ObjectStore<Object: Sendable>: Sendable {
    private(set) var objects: [ObjectName: Observed<Object>] = [:]
    private var tables: [(index: ObjectIndex<Object>, entries: [ObjectName: Set<ObjectName>])]

    init(indexes: [ObjectIndex<Object>] = []) { tables = indexes.map { ($0, [:]) } }

    subscript(name: ObjectName) -> Observed<Object>? { objects[name] }

    /// Those that decode. An index that the store was not made with is answered too, by looking at every object.
    func objects(_ index: ObjectIndex<Object>, _ key: ObjectName) -> [Object] { observed(index, key).compactMap(\.object) }

    func observed(_ index: ObjectIndex<Object>, _ key: ObjectName) -> [Observed<Object>] {
        guard let table = tables.first(where: { $0.index.name == index.name }) else {
            return objects.values.filter { $0.object.map { index.keys($0).contains(key) } ?? false }
        }
        return table.entries[key]?.compactMap { objects[$0] } ?? []
    }

    /// Takes an object as a watch or a single read told of it; one that is older than what is known is passed over.
    mutating func put(_ object: Observed<Object>) -> [ObjectChange<Object>] {
        guard let known = objects[object.name] else {
            set(object)
            return [.added(object)]
        }
        if known.uid == object.uid && known.resourceVersion == object.resourceVersion { return [] }
        if isOlder(object.resourceVersion, than: known.resourceVersion) { return [] }
        unset(known)
        set(object)
        return known.uid == object.uid ? [.updated(from: known, to: object)] : [.deleted(known), .added(object)]
    }

    /// - Parameter resourceVersion: of the deletion; nil when it is certain that the object is gone now.
    mutating func remove(_ name: ObjectName, resourceVersion: String?) -> [ObjectChange<Object>] {
        guard let known = objects[name] else { return [] }
        if let resourceVersion, isOlder(resourceVersion, than: known.resourceVersion) { return [] }
        unset(known)
        return [.deleted(known)]
    }

    /// Takes what a list told of as all there is; deletions are told first, all in the order of names.
    /// - Parameter kept: names that the list says nothing about.
    mutating func replace(
        with list: [ObjectName: Observed<Object>], keeping kept: Set<ObjectName> = []
    ) -> [ObjectChange<Object>] {
        var changes: [ObjectChange<Object>] = []
        let gone = objects.keys.filter { list[$0] == nil && !kept.contains($0) }
        for name in gone.sorted() { changes += remove(name, resourceVersion: nil) }
        for (_, object) in list.sorted(by: { $0.key < $1.key }) {
            guard let known = objects[object.name] else {
                changes += put(object)
                continue
            }
            if known.uid == object.uid && known.resourceVersion == object.resourceVersion { continue }
            // The list's word counts, even where its versions are lower: etcd may have been restored from a backup.
            unset(known)
            set(object)
            changes += known.uid == object.uid ? [.updated(from: known, to: object)] : [.deleted(known), .added(object)]
        }
        return changes
    }

    private mutating func set(_ object: Observed<Object>) {
        objects[object.name] = object
        guard let value = object.object else { return }
        for position in tables.indices {
            for key in tables[position].index.keys(value) {
                tables[position].entries[key, default: []].insert(object.name)
            }
        }
    }

    private mutating func unset(_ object: Observed<Object>) {
        objects[object.name] = nil
        guard let value = object.object else { return }
        for position in tables.indices {
            for key in tables[position].index.keys(value) {
                tables[position].entries[key]?.remove(object.name)
                if tables[position].entries[key]?.isEmpty == true { tables[position].entries[key] = nil }
            }
        }
    }
}
