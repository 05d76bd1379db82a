public import NetworkTypes

/// The name of a network interface as the kernel takes it (`dev_valid_name` in net/core/dev.c).
public struct InterfaceName: StringValue, Comparable {
    public let description: String

    /// 1 to 15 bytes (`IFNAMSIZ` less its NUL), printable ASCII without `/`, `:`, `%` and white space; not `.` or `..`.
    public init(parsing text: String) throws(InvalidValue) {
        let forbidden: [UInt8] = Array("/:%".utf8)
        guard (1...15).contains(text.utf8.count), text != ".", text != "..",
            text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !forbidden.contains($0) })
        else {
            throw InvalidValue(
                expected: "interface name", given: text,
                reason: "want 1 to 15 characters of printable ASCII without spaces, '/', ':' and '%', such as wg-relay")
        }
        description = text
    }

    public static func < (a: Self, b: Self) -> Bool { a.description < b.description }
}
