public import NetworkTypes

/// A value of JSON or YAML without places: what is written, or passed on unread.
public enum FieldValue: Hashable, Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case string(String)
    case array([FieldValue])
    case object(FieldMembers)
}

/// The members of an object, sorted by key, so that none of thousands of objects is to be sorted when it is written.
public struct FieldMembers: Hashable, Sendable {
    private struct Member: Hashable, Sendable {
        var key: String
        var value: FieldValue
    }

    private var members: [Member]

    /// Of a key that stands twice, the last counts.
    public init(_ members: some Sequence<(key: String, value: FieldValue)>) {
        self.init(unsorted: members.map { Member(key: $0.key, value: $0.value) })
    }

    private init(unsorted members: [Member]) {
        self.members = members
        // Most stand in order where they are written down.
        guard zip(members, members.dropFirst()).contains(where: { $0.key >= $1.key }) else { return }
        // The sort is stable.
        self.members.sort { $0.key < $1.key }
        var last = 0
        for place in self.members.indices {
            if self.members[place].key != self.members[last].key { last += 1 }
            self.members[last] = self.members[place]
        }
        self.members.removeSubrange((last + 1)...)
    }

    /// Nil, and set to nil, where there is no such member.
    public subscript(key: String) -> FieldValue? {
        get {
            let place = place(of: key)
            return place < members.count && members[place].key == key ? members[place].value : nil
        }
        set {
            let place = place(of: key)
            let isThere = place < members.count && members[place].key == key
            switch (newValue, isThere) {
            case (let value?, true): members[place].value = value
            case (let value?, false): members.insert(Member(key: key, value: value), at: place)
            case (nil, true): members.remove(at: place)
            case (nil, false): break
            }
        }
    }

    /// Of the first member whose key is not below `key`.
    private func place(of key: String) -> Int {
        var (low, high) = (0, members.count)
        while low < high {
            let middle = (low + high) / 2
            if members[middle].key < key { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// These, and those of `others` instead of its own of the same keys.
    public func merging(_ others: FieldMembers) -> FieldMembers { FieldMembers(unsorted: members + others.members) }
}

extension FieldMembers: RandomAccessCollection {
    public var startIndex: Int { 0 }
    public var endIndex: Int { members.count }
    public subscript(position: Int) -> (key: String, value: FieldValue) { (members[position].key, members[position].value) }
}

extension FieldMembers: ExpressibleByDictionaryLiteral {
    public init(dictionaryLiteral elements: (String, FieldValue)...) {
        self.init(elements)
    }

    fileprivate init(_ elements: [(String, FieldValue)]) {
        self.init(unsorted: elements.map { Member(key: $0.0, value: $0.1) })
    }
}

/// Objects that Tidegate writes stand in the source as they stand in YAML.
extension FieldValue: ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(arrayLiteral elements: FieldValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, FieldValue)...) {
        self = .object(FieldMembers(elements))
    }

    /// An object of the fields that are there.
    public static func fields(_ fields: KeyValuePairs<String, FieldValue?>) -> FieldValue {
        .object(FieldMembers(fields.lazy.compactMap { field in field.value.map { (key: field.key, value: $0) } }))
    }

    /// An object of texts.
    public static func texts(_ texts: [String: String]) -> FieldValue {
        .object(FieldMembers(texts.lazy.map { (key: $0.key, value: .string($0.value)) }))
    }

    public static func integer(_ value: Int) -> FieldValue { .integer(Int64(value)) }
    public static func port(_ port: Port) -> FieldValue { .integer(Int64(port.number)) }
    public static func text(_ value: some CustomStringConvertible) -> FieldValue { .string(value.description) }
}
