import CLinuxHeaders
import NetlinkMessages

/// One expression of a rule: a step of the small machine that nf_tables runs for each packet.
///
/// Kept as a tree, so that it can be sent and also be recognised in what the kernel says a rule holds.
struct NFTablesExpression: Hashable, Sendable {
    /// Such as `payload` or `nat`.
    let name: String
    let attributes: [Attribute]

    struct Attribute: Hashable, Sendable {
        let type: NetlinkAttributeType
        let value: Value
    }

    enum Value: Hashable, Sendable {
        case bytes([UInt8])
        indirect case nest([Attribute])
    }

    /// A register of the machine, as it is numbered on the wire (`enum nft_registers`).
    enum Register: UInt32 {
        /// Sixteen bytes.
        case first = 1
        case second = 2
        /// The second four bytes of `first` (`NFT_REG32_01`).
        case firstFromFourthByte = 9
        /// The third four bytes of it (`NFT_REG32_02`).
        case firstFromEighthByte = 10
    }

    enum Comparison: UInt32 {
        case equal = 0
        case notEqual = 1
    }

    func encode(into list: inout NetlinkAttributes) {
        list.nest(NetlinkAttributeType(NFTA_LIST_ELEM)) { expression in
            expression.put(NetlinkAttributeType(NFTA_EXPR_NAME), string: name)
            expression.nest(NetlinkAttributeType(NFTA_EXPR_DATA)) { Self.encode(attributes, into: &$0) }
        }
    }

    private static func encode(_ attributes: [Attribute], into target: inout NetlinkAttributes) {
        for attribute in attributes {
            switch attribute.value {
            case .bytes(let bytes): target.put(attribute.type, bytes: bytes)
            case .nest(let children): target.nest(attribute.type) { encode(children, into: &$0) }
            }
        }
    }

    /// Whether the kernel's element of `NFTA_RULE_EXPRESSIONS` is this expression. The kernel adds attributes with their
    /// defaults; those we send must all be there, and equal.
    func matches(_ element: ParsedAttribute) throws(MalformedNetlink) -> Bool {
        let parts = try element.nested()
        guard parts[NetlinkAttributeType(NFTA_EXPR_NAME)]?.string == name else { return false }
        if attributes.isEmpty { return true }
        guard let data = parts[NetlinkAttributeType(NFTA_EXPR_DATA)] else { return false }
        return try Self.match(attributes, in: data.nested())
    }

    private static func match(_ expected: [Attribute], in found: ParsedAttributes) throws(MalformedNetlink) -> Bool {
        for attribute in expected {
            guard let other = found[attribute.type] else { return false }
            switch attribute.value {
            case .bytes(let bytes): if !other.payload.elementsEqual(bytes) { return false }
            case .nest(let children): if try !match(children, in: other.nested()) { return false }
            }
        }
        return true
    }
}

// MARK: The words we use

extension NFTablesExpression {
    /// Puts a property of the packet (`enum nft_meta_keys`) into `register`.
    static func meta(_ key: nft_meta_keys, into register: Register = .first) -> Self {
        Self(name: "meta", attributes: [.number(NFTA_META_KEY, key.rawValue), .number(NFTA_META_DREG, register.rawValue)])
    }

    /// Goes on with the next rule unless `register` compares so.
    static func compare(_ comparison: Comparison, _ bytes: [UInt8], in register: Register = .first) -> Self {
        Self(
            name: "cmp",
            attributes: [
                .number(NFTA_CMP_SREG, register.rawValue), .number(NFTA_CMP_OP, comparison.rawValue),
                .value(NFTA_CMP_DATA, bytes),
            ])
    }

    /// Puts bytes of the network (IP) or transport header into `register`.
    static func payload(_ base: nft_payload_bases, offset: UInt32, length: UInt32, into register: Register = .first) -> Self {
        Self(
            name: "payload",
            attributes: [
                .number(NFTA_PAYLOAD_DREG, register.rawValue), .number(NFTA_PAYLOAD_BASE, base.rawValue),
                .number(NFTA_PAYLOAD_OFFSET, offset), .number(NFTA_PAYLOAD_LEN, length),
            ])
    }

    /// Puts a property of the packet's connection (`enum nft_ct_keys`) into the first register.
    /// - Parameter original: the property belongs to a direction, and that of the first packet is meant.
    static func connection(_ key: nft_ct_keys, original: Bool = false) -> Self {
        let direction = original ? [Attribute(type: NetlinkAttributeType(NFTA_CT_DIRECTION), value: .bytes([0]))] : []
        return Self(
            name: "ct",
            attributes: [.number(NFTA_CT_KEY, key.rawValue), .number(NFTA_CT_DREG, Register.first.rawValue)] + direction)
    }

    /// The register AND `mask`.
    static func mask(_ mask: [UInt8], in register: Register = .first) -> Self {
        Self(
            name: "bitwise",
            attributes: [
                .number(NFTA_BITWISE_SREG, register.rawValue), .number(NFTA_BITWISE_DREG, register.rawValue),
                .number(NFTA_BITWISE_LEN, UInt32(mask.count)), .value(NFTA_BITWISE_MASK, mask),
                .value(NFTA_BITWISE_XOR, [UInt8](repeating: 0, count: mask.count)),
            ])
    }

    /// Replaces the key in the first register by its value in the map; goes on with the next rule when it is not there.
    static func lookup(in map: String) -> Self {
        Self(
            name: "lookup",
            attributes: [
                .string(NFTA_LOOKUP_SET, map), .number(NFTA_LOOKUP_SREG, Register.first.rawValue),
                .number(NFTA_LOOKUP_DREG, Register.first.rawValue),
            ])
    }

    /// Puts fixed bytes into `register`.
    static func immediate(_ bytes: [UInt8], into register: Register) -> Self {
        Self(
            name: "immediate", attributes: [.number(NFTA_IMMEDIATE_DREG, register.rawValue), .value(NFTA_IMMEDIATE_DATA, bytes)])
    }

    /// Ends the chain with `NF_ACCEPT` or `NF_DROP`.
    static func verdict(_ code: Int32) -> Self {
        let verdict = Attribute(
            type: NetlinkAttributeType(NFTA_DATA_VERDICT),
            value: .nest([.number(NFTA_VERDICT_CODE, UInt32(bitPattern: code))]))
        return Self(
            name: "immediate",
            attributes: [
                .number(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT.rawValue),
                Attribute(type: NetlinkAttributeType(NFTA_IMMEDIATE_DATA), value: .nest([verdict])),
            ])
    }

    /// Sends the connection to the address in the first register and the port in `port`.
    static func destinationNAT(port: Register) -> Self {
        Self(
            name: "nat",
            attributes: [
                .number(NFTA_NAT_TYPE, NFT_NAT_DNAT.rawValue), .number(NFTA_NAT_FAMILY, UInt32(NFPROTO_IPV4)),
                .number(NFTA_NAT_REG_ADDR_MIN, Register.first.rawValue), .number(NFTA_NAT_REG_PROTO_MIN, port.rawValue),
            ])
    }

    /// Gives the connection the address of the interface it leaves by as its source.
    static let masquerade = Self(name: "masq", attributes: [])

    /// Lowers the MSS option of a TCP segment to what the route carries, both ways; never raises it.
    static let clampMSS = [
        Self(
            name: "rt",
            attributes: [.number(NFTA_RT_KEY, NFT_RT_TCPMSS.rawValue), .number(NFTA_RT_DREG, Register.first.rawValue)]),
        Self(
            name: "byteorder",
            attributes: [
                .number(NFTA_BYTEORDER_SREG, Register.first.rawValue), .number(NFTA_BYTEORDER_DREG, Register.first.rawValue),
                .number(NFTA_BYTEORDER_OP, NFT_BYTEORDER_HTON.rawValue), .number(NFTA_BYTEORDER_LEN, 2),
                .number(NFTA_BYTEORDER_SIZE, 2),
            ]),
        // TCP option 2 (RFC 9293, section 3.2): the two bytes after its kind and length.
        Self(
            name: "exthdr",
            attributes: [
                .number(NFTA_EXTHDR_SREG, Register.first.rawValue),
                Attribute(type: NetlinkAttributeType(NFTA_EXTHDR_TYPE), value: .bytes([2])),
                .number(NFTA_EXTHDR_OFFSET, 2), .number(NFTA_EXTHDR_LEN, 2),
                .number(NFTA_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT.rawValue),
            ]),
    ]

    /// Clears the "don't fragment" bit: 0x4000 of the two bytes at offset 6 of the IPv4 header, whose checksum is at 10 (RFC 791,
    /// section 3.1).
    static let allowFragments: [Self] = [
        .payload(NFT_PAYLOAD_NETWORK_HEADER, offset: 6, length: 2), .mask([0xBF, 0xFF]),
        Self(
            name: "payload",
            attributes: [
                .number(NFTA_PAYLOAD_SREG, Register.first.rawValue),
                .number(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER.rawValue),
                .number(NFTA_PAYLOAD_OFFSET, 6), .number(NFTA_PAYLOAD_LEN, 2),
                .number(NFTA_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET.rawValue), .number(NFTA_PAYLOAD_CSUM_OFFSET, 10),
            ]),
    ]

    /// Goes on with the next rule unless the packet is for an address of this host.
    static let toThisHost = [
        Self(
            name: "fib",
            attributes: [
                .number(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR.rawValue), .number(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE.rawValue),
                .number(NFTA_FIB_DREG, Register.first.rawValue),
            ]),
        // In the host's byte order, as the kernel's `fib` writes it.
        .compare(.equal, hostOrder(UInt32(RTN_LOCAL))),
    ]

    /// The bytes of an integer that nf_tables holds in host order: connection states, address types.
    static func hostOrder(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }
}

extension NFTablesExpression.Attribute {
    fileprivate static func number<Enumerator: RawRepresentable<UInt32>>(_ type: Enumerator, _ value: UInt32) -> Self {
        Self(type: NetlinkAttributeType(type), value: .bytes(withUnsafeBytes(of: value.bigEndian) { Array($0) }))
    }

    fileprivate static func string<Enumerator: RawRepresentable<UInt32>>(_ type: Enumerator, _ text: String) -> Self {
        Self(type: NetlinkAttributeType(type), value: .bytes(Array(text.utf8) + [0]))
    }

    /// `NFTA_DATA_VALUE` in a nest.
    fileprivate static func value<Enumerator: RawRepresentable<UInt32>>(_ type: Enumerator, _ bytes: [UInt8]) -> Self {
        let data = Self(type: NetlinkAttributeType(NFTA_DATA_VALUE), value: .bytes(bytes))
        return Self(type: NetlinkAttributeType(type), value: .nest([data]))
    }
}
