/// Objects that Tidegate writes stand in the source as they stand in YAML.
extension FieldValue: ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(arrayLiteral elements: FieldValue...) { self = .array(elements) }
    /// A key that stands twice has its last value.
    public init(dictionaryLiteral elements: (String, FieldValue)...) { self = .object(Dictionary(elements) { $1 }) }
}
