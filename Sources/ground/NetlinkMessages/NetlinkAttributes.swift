import CLinuxHeaders
public import Sodium

/// Writes attributes and computes their lengths and padding; nests close themselves.
///
/// `nla_len` has 16 bits: an attribute longer than that is remembered, and `NetlinkMessage.encoded` refuses the message.
public struct NetlinkAttributes: Equatable, Sendable {
    /// The encoded attributes, a multiple of four bytes long; where a secret belongs there are zeros.
    public private(set) var bytes: [UInt8] = []
    /// The first attribute that did not fit; nil when all did.
    public private(set) var overlong: NetlinkAttributeType?

    private var secrets: [PlacedSecret] = []

    private struct PlacedSecret: Equatable, Sendable {
        var offset: Int
        let secret: SecretBytes
    }

    /// `NLA_HDRLEN` of linux/netlink.h.
    static let headerLength = 4
    static let nestedFlag = UInt16(NLA_F_NESTED)

    public init() {}

    public init(_ build: (inout NetlinkAttributes) -> Void) { build(&self) }

    /// An attribute whose presence alone is its value.
    public mutating func putFlag(_ type: NetlinkAttributeType) { put(type, bytes: []) }

    public mutating func put(_ type: NetlinkAttributeType, u8 value: UInt8) { put(type, bytes: CollectionOfOne(value)) }

    /// In the host's byte order, as most families have it.
    public mutating func put(_ type: NetlinkAttributeType, u16 value: UInt16) { put(type, integer: value) }
    public mutating func put(_ type: NetlinkAttributeType, u32 value: UInt32) { put(type, integer: value) }
    public mutating func put(_ type: NetlinkAttributeType, u64 value: UInt64) { put(type, integer: value) }

    /// In network byte order, as nfnetlink has it.
    public mutating func put(_ type: NetlinkAttributeType, u16BigEndian value: UInt16) { put(type, integer: value.bigEndian) }
    public mutating func put(_ type: NetlinkAttributeType, u32BigEndian value: UInt32) { put(type, integer: value.bigEndian) }
    public mutating func put(_ type: NetlinkAttributeType, u64BigEndian value: UInt64) { put(type, integer: value.bigEndian) }

    /// With the NUL at its end that `NLA_NUL_STRING` wants.
    public mutating func put(_ type: NetlinkAttributeType, string: String) { put(type, bytes: Array(string.utf8) + [0]) }

    public mutating func put(_ type: NetlinkAttributeType, bytes payload: some Collection<UInt8>) {
        let start = open(type, flag: 0)
        bytes.append(contentsOf: payload)
        close(type, from: start)
    }

    /// A secret that is copied only into the message on its way to the kernel.
    public mutating func put(_ type: NetlinkAttributeType, secret: SecretBytes) {
        secrets.append(PlacedSecret(offset: bytes.count + Self.headerLength, secret: secret))
        put(type, bytes: repeatElement(0, count: secret.count))
    }

    /// Whether the encoded message will hold a secret in the clear.
    public var holdsSecret: Bool { !secrets.isEmpty }

    /// The attributes that `build` puts, inside one of type `type` with `NLA_F_NESTED`.
    public mutating func nest<Failure: Error>(
        _ type: NetlinkAttributeType, _ build: (inout NetlinkAttributes) throws(Failure) -> Void
    ) throws(Failure) {
        let start = open(type, flag: Self.nestedFlag)
        try build(&self)
        close(type, from: start)
    }

    /// Attributes already encoded, as siblings of what is here.
    public mutating func append(_ other: NetlinkAttributes) {
        secrets += other.secrets.map { PlacedSecret(offset: $0.offset + bytes.count, secret: $0.secret) }
        bytes.append(contentsOf: other.bytes)
        overlong = overlong ?? other.overlong
    }

    /// Appends the attributes, secrets filled in.
    func encode(into message: inout [UInt8]) {
        let start = message.count
        message.append(contentsOf: bytes)
        for placed in secrets {
            placed.secret.withUnsafeBytes { source in
                let range = start + placed.offset..<start + placed.offset + source.count
                message.replaceSubrange(range, with: source)
            }
        }
    }

    private mutating func put(_ type: NetlinkAttributeType, integer value: some FixedWidthInteger) {
        withUnsafeBytes(of: value) { put(type, bytes: $0) }
    }

    private mutating func open(_ type: NetlinkAttributeType, flag: UInt16) -> Int {
        let start = bytes.count
        withUnsafeBytes(of: UInt16(0)) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: type.number | flag) { bytes.append(contentsOf: $0) }
        return start
    }

    private mutating func close(_ type: NetlinkAttributeType, from start: Int) {
        if let length = UInt16(exactly: bytes.count - start) {
            withUnsafeBytes(of: length) { bytes.replaceSubrange(start..<start + 2, with: $0) }
        } else {
            overlong = overlong ?? type
        }
        while bytes.count % 4 != 0 { bytes.append(0) }
    }
}
