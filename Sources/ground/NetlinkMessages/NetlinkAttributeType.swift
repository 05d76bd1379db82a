/// The type of one attribute, without the kernel's flag bits (`NLA_TYPE_MASK`).
///
/// What a number means depends on the message and the nest it stands in; the modules above name theirs after the
/// kernel's enumerators: `extension NetlinkAttributeType { static let interfaceName = Self(IFLA_IFNAME) }`.
public struct NetlinkAttributeType: Hashable, Sendable, CustomStringConvertible {
    /// 0 to 16383.
    public let number: UInt16

    /// Only the low 14 bits count, as in the kernel.
    public init(_ number: some BinaryInteger) { self.number = UInt16(truncatingIfNeeded: number) & 0x3FFF }

    /// A named C enumerator of linux/*.h.
    public init<Enumerator: RawRepresentable>(_ enumerator: Enumerator) where Enumerator.RawValue == UInt32 {
        self.init(enumerator.rawValue)
    }

    public var description: String { String(number) }
}
