/// Attributes read from a reply, checked once and as a whole: every length lies inside what holds it.
public struct ParsedAttributes: Sequence, Sendable {
    private let attributes: [ParsedAttribute]

    /// - Throws: `MalformedNetlink` when an attribute is shorter than its header (zero too) or longer than what is left.
    public init(parsing bytes: ArraySlice<UInt8>) throws(MalformedNetlink) {
        var attributes: [ParsedAttribute] = []
        var rest = bytes
        // Up to three bytes may follow the last attribute as padding.
        while rest.count >= NetlinkAttributes.headerLength {
            let length = Int(rest.hostInteger(at: 0, as: UInt16.self))
            guard length >= NetlinkAttributes.headerLength, length <= rest.count else {
                throw MalformedNetlink("an attribute says it is \(length) bytes long where \(rest.count) are left")
            }
            let type = NetlinkAttributeType(rest.hostInteger(at: 2, as: UInt16.self))
            attributes.append(ParsedAttribute(type: type, payload: rest.prefix(length).dropFirst(NetlinkAttributes.headerLength)))
            rest = rest.dropFirst((length + 3) & ~3)
        }
        self.attributes = attributes
    }

    /// The last attribute of this type, as the kernel's `nla_parse` takes it; nil when there is none.
    public subscript(type: NetlinkAttributeType) -> ParsedAttribute? { attributes.last { $0.type == type } }

    public var count: Int { attributes.count }
    public func makeIterator() -> IndexingIterator<[ParsedAttribute]> { attributes.makeIterator() }
}

/// One attribute of a reply.
public struct ParsedAttribute: Sendable {
    public let type: NetlinkAttributeType
    public let payload: ArraySlice<UInt8>

    public func u8() throws(MalformedNetlink) -> UInt8 { try integer() }
    public func u16() throws(MalformedNetlink) -> UInt16 { try integer() }
    public func u32() throws(MalformedNetlink) -> UInt32 { try integer() }
    public func u64() throws(MalformedNetlink) -> UInt64 { try integer() }
    public func i32() throws(MalformedNetlink) -> Int32 { try integer() }
    public func u16BigEndian() throws(MalformedNetlink) -> UInt16 { try u16().bigEndian }
    public func u32BigEndian() throws(MalformedNetlink) -> UInt32 { try u32().bigEndian }
    public func u64BigEndian() throws(MalformedNetlink) -> UInt64 { try u64().bigEndian }

    /// Up to the first NUL or the end; bytes that are no UTF-8 become U+FFFD.
    public var string: String { String(decoding: payload.prefix { $0 != 0 }, as: UTF8.self) }

    /// The attributes inside this one, whether it has `NLA_F_NESTED` or not (many families leave it out).
    public func nested() throws(MalformedNetlink) -> ParsedAttributes { try ParsedAttributes(parsing: payload) }

    /// A C structure at the start of the payload; longer ones are cut, since newer kernels append fields.
    public func structure<Structure: BitwiseCopyable>(as type: Structure.Type) throws(MalformedNetlink) -> Structure {
        try payload.structure(as: type, what: "attribute \(self.type)")
    }

    /// Integers one after the other; what is left of a last one is dropped.
    public func array<Value: FixedWidthInteger>(of type: Value.Type) -> [Value] {
        let size = Value.bitWidth / 8
        return (0..<payload.count / size).map { payload.hostInteger(at: $0 * size, as: type) }
    }

    private func integer<Value: FixedWidthInteger>() throws(MalformedNetlink) -> Value {
        guard payload.count == Value.bitWidth / 8 else {
            throw MalformedNetlink("attribute \(type) has \(payload.count) bytes where \(Value.bitWidth / 8) were expected")
        }
        return payload.hostInteger(at: 0, as: Value.self)
    }
}

/// Bytes from the kernel that are not what its headers describe.
public struct MalformedNetlink: Error, Hashable, Sendable, CustomStringConvertible {
    public let reason: String
    public init(_ reason: String) { self.reason = reason }
    public var description: String { "malformed netlink message: \(reason)" }
}

extension ArraySlice<UInt8> {
    /// The caller has checked that the bytes are there.
    func hostInteger<Value: FixedWidthInteger>(at offset: Int, as type: Value.Type) -> Value {
        var value: Value = 0
        Swift.withUnsafeMutableBytes(of: &value) { $0.copyBytes(from: self.dropFirst(offset).prefix($0.count)) }
        return value
    }

    func structure<Structure: BitwiseCopyable>(as type: Structure.Type, what: String) throws(MalformedNetlink) -> Structure {
        guard count >= MemoryLayout<Structure>.size else {
            throw MalformedNetlink(
                "\(what) has \(count) bytes where \(Structure.self) has \(MemoryLayout<Structure>.size)")
        }
        return withUnsafeBytes { $0.loadUnaligned(as: type) }
    }
}
