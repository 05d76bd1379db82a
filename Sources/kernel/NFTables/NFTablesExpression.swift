public import CLinuxHeaders
public import NetlinkMessages
import NetworkTypes

/// One expression of a rule: a step of the small machine that nf_tables runs for each packet.
///
/// The same value is written into a rule of ours and read from what the kernel says of any rule; what the kernel says beyond it, such as
/// defaults that were not sent, is left out. An expression more is a case, and a line each in `written` and `read`.
public enum NFTablesExpression: Hashable, Sendable {
    /// The register becomes `(register & mask) ^ xor`; operations other than zero (`enum nft_bitwise_ops`) have neither.
    case bitwise(operation: UInt32 = 0, mask: [UInt8], xor: [UInt8], from: Register, into: Register)
    /// Swaps bytes between the host's and the network's order.
    case byteOrder(nft_byteorder_ops, length: UInt32, size: UInt32, from: Register = .first, into: Register = .first)
    /// Goes on with the next rule unless the register compares so.
    case compare(Comparison, [UInt8], in: Register = .first)
    /// Puts a property of the packet's connection into a register, for some of them that of one direction.
    case connection(nft_ct_keys, of: Direction? = nil, into: Register = .first)
    /// Sends the connection to the IPv4 address and the port in two registers; nil leaves the port as it is.
    case destinationNAT(address: Register = .first, port: Register?)
    /// Puts what the routes say of an address of the packet into a register.
    case fib(flags: UInt32, nft_fib_result, into: Register = .first)
    /// Puts fixed bytes into a register.
    case immediate([UInt8], into: Register)
    /// Goes on with the next rule unless the register is in the set or map; its value in the map goes into another register, and none
    /// is for a set.
    case lookup(in: String, from: Register = .first, into: Register? = .first, isInverted: Bool = false)
    /// Gives the connection the address of the interface it leaves by as its source.
    case masquerade
    /// A match of iptables as it was, with its own structure.
    case match(String, revision: UInt32, [UInt8])
    /// Puts a property of the packet into a register.
    case meta(nft_meta_keys, into: Register = .first)
    /// Puts bytes of a header into a register.
    case payload(nft_payload_bases, offset: UInt32, length: UInt32, into: Register = .first)
    /// Goes on with the next rule unless the register is between the two.
    case range(nft_range_ops, from: [UInt8], to: [UInt8], in: Register)
    /// Puts a property of the packet's route into a register.
    case route(nft_rt_keys, into: Register = .first)
    /// Writes a register into an option of a header.
    case setOption(nft_exthdr_op, type: UInt8, offset: UInt32, length: UInt32, from: Register = .first)
    /// Writes a register into a header.
    case setPayload(
        nft_payload_bases, offset: UInt32, length: UInt32, checksum: nft_payload_csum_types, at: UInt32, from: Register = .first)
    /// A target of iptables as it was, with its own structure.
    case target(String, revision: UInt32, [UInt8])
    /// Ends the rule.
    case verdict(RuleVerdict)
    /// One that is none of these, by its name in the kernel.
    case other(String)

    /// As it is numbered on the wire (`enum nft_registers`).
    public struct Register: RawRepresentable, Hashable, Sendable {
        public let rawValue: UInt32
        public init(rawValue: UInt32) { self.rawValue = rawValue }

        /// Sixteen bytes.
        public static let first = Self(rawValue: 1)
        static let second = Self(rawValue: 2)
        /// The second four bytes of `first` (`NFT_REG32_01`).
        static let firstFromFourthByte = Self(rawValue: 9)
        /// The third four bytes of it (`NFT_REG32_02`).
        static let firstFromEighthByte = Self(rawValue: 10)
        /// Where the machine goes.
        public static let verdict = Self(rawValue: NFT_REG_VERDICT.rawValue)

        /// In units of four bytes: registers have two names each, of sixteen bytes (1 to 4) and of four (from 8 on).
        public var place: UInt32 { rawValue <= 4 ? rawValue * 4 : rawValue &- 4 }
    }

    /// `enum nft_cmp_ops`.
    public enum Comparison: UInt32, Sendable { case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual }

    /// `enum ip_conntrack_dir`.
    public enum Direction: UInt8, Sendable { case original, reply }
}

// MARK: Both ways

extension NFTablesExpression {
    func encode(into list: inout NetlinkAttributes) {
        let written = written
        list.nest(NetlinkAttributeType(NFTA_LIST_ELEM)) { expression in
            expression.put(NetlinkAttributeType(NFTA_EXPR_NAME), string: written.name)
            expression.nest(NetlinkAttributeType(NFTA_EXPR_DATA)) { for attribute in written.attributes { $0.append(attribute) } }
        }
    }

    /// The expressions of a rule, from the attributes of the kernel's message about it.
    public static func list(inRule found: ParsedAttributes) throws(MalformedNetlink) -> [Self] {
        var expressions: [Self] = []
        guard let list = try found[NetlinkAttributeType(NFTA_RULE_EXPRESSIONS)]?.nested() else { return [] }
        for element in list {
            let parts = try element.nested()
            let name = parts[NetlinkAttributeType(NFTA_EXPR_NAME)]?.string ?? ""
            let attributes = try parts[NetlinkAttributeType(NFTA_EXPR_DATA)]?.nested()
            do throws(Unreadable) {
                expressions.append(try read(name, Found(attributes)))
            } catch .malformed(let error) {
                throw error
            } catch {
                expressions.append(.other(name))
            }
        }
        return expressions
    }

    private var written: Written {
        switch self {
        case .bitwise(let operation, let mask, let xor, let source, let destination):
            // Older kernels know nothing but zero, and leave it out.
            Written(
                "bitwise", .number(NFTA_BITWISE_SREG, source), .number(NFTA_BITWISE_DREG, destination),
                .number(NFTA_BITWISE_OP, operation == 0 ? nil : operation), .number(NFTA_BITWISE_LEN, UInt32(mask.count)),
                .value(NFTA_BITWISE_MASK, mask), .value(NFTA_BITWISE_XOR, xor))
        case .byteOrder(let operation, let length, let size, let source, let destination):
            Written(
                "byteorder", .number(NFTA_BYTEORDER_SREG, source), .number(NFTA_BYTEORDER_DREG, destination),
                .number(NFTA_BYTEORDER_OP, operation), .number(NFTA_BYTEORDER_LEN, length), .number(NFTA_BYTEORDER_SIZE, size))
        case .compare(let comparison, let bytes, let register):
            Written("cmp", .number(NFTA_CMP_SREG, register), .number(NFTA_CMP_OP, comparison), .value(NFTA_CMP_DATA, bytes))
        case .connection(let key, let direction, let register):
            Written(
                "ct", .number(NFTA_CT_KEY, key), .number(NFTA_CT_DREG, register), .byte(NFTA_CT_DIRECTION, direction?.rawValue))
        case .destinationNAT(let address, let port):
            Written(
                "nat", .number(NFTA_NAT_TYPE, NFT_NAT_DNAT), .number(NFTA_NAT_FAMILY, UInt32(NFPROTO_IPV4)),
                .number(NFTA_NAT_REG_ADDR_MIN, address), .number(NFTA_NAT_REG_PROTO_MIN, port?.rawValue))
        case .fib(let flags, let result, let register):
            Written("fib", .number(NFTA_FIB_FLAGS, flags), .number(NFTA_FIB_RESULT, result), .number(NFTA_FIB_DREG, register))
        case .immediate(let bytes, let register):
            Written("immediate", .number(NFTA_IMMEDIATE_DREG, register), .value(NFTA_IMMEDIATE_DATA, bytes))
        case .lookup(let set, let source, let destination, let isInverted):
            Written(
                "lookup", .string(NFTA_LOOKUP_SET, set), .number(NFTA_LOOKUP_SREG, source),
                .number(NFTA_LOOKUP_DREG, destination?.rawValue),
                .number(NFTA_LOOKUP_FLAGS, isInverted ? NFT_LOOKUP_F_INV.rawValue : nil))
        case .masquerade: Written("masq")
        case .match(let name, let revision, let structure): Written("match", iptables: name, revision, structure)
        case .meta(let key, let register): Written("meta", .number(NFTA_META_KEY, key), .number(NFTA_META_DREG, register))
        case .payload(let base, let offset, let length, let register):
            Written(
                "payload", .number(NFTA_PAYLOAD_DREG, register), .number(NFTA_PAYLOAD_BASE, base),
                .number(NFTA_PAYLOAD_OFFSET, offset), .number(NFTA_PAYLOAD_LEN, length))
        case .range(let operation, let from, let to, let register):
            Written(
                "range", .number(NFTA_RANGE_SREG, register), .number(NFTA_RANGE_OP, operation),
                .value(NFTA_RANGE_FROM_DATA, from), .value(NFTA_RANGE_TO_DATA, to))
        case .route(let key, let register): Written("rt", .number(NFTA_RT_KEY, key), .number(NFTA_RT_DREG, register))
        case .setOption(let operation, let type, let offset, let length, let register):
            Written(
                "exthdr", .number(NFTA_EXTHDR_SREG, register), .byte(NFTA_EXTHDR_TYPE, type), .number(NFTA_EXTHDR_OFFSET, offset),
                .number(NFTA_EXTHDR_LEN, length), .number(NFTA_EXTHDR_OP, operation))
        case .setPayload(let base, let offset, let length, let checksum, let place, let register):
            Written(
                "payload", .number(NFTA_PAYLOAD_SREG, register), .number(NFTA_PAYLOAD_BASE, base),
                .number(NFTA_PAYLOAD_OFFSET, offset), .number(NFTA_PAYLOAD_LEN, length),
                .number(NFTA_PAYLOAD_CSUM_TYPE, checksum), .number(NFTA_PAYLOAD_CSUM_OFFSET, place))
        case .target(let name, let revision, let structure): Written("target", iptables: name, revision, structure)
        case .verdict(let verdict):
            Written("immediate", .number(NFTA_IMMEDIATE_DREG, Register.verdict), verdict.written(NFTA_IMMEDIATE_DATA))
        case .other(let name): Written(name)
        }
    }

    private static func read(_ name: String, _ found: Found) throws(Unreadable) -> Self {
        switch name {
        case "bitwise":
            let operation = try found.optional(NFTA_BITWISE_OP) ?? 0
            return try .bitwise(
                operation: operation, mask: operation == 0 ? found.value(NFTA_BITWISE_MASK) : [],
                xor: operation == 0 ? found.value(NFTA_BITWISE_XOR) : [], from: found.number(NFTA_BITWISE_SREG),
                into: found.number(NFTA_BITWISE_DREG))
        case "byteorder":
            return try .byteOrder(
                found.number(NFTA_BYTEORDER_OP), length: found.number(NFTA_BYTEORDER_LEN),
                size: found.number(NFTA_BYTEORDER_SIZE),
                from: found.number(NFTA_BYTEORDER_SREG), into: found.number(NFTA_BYTEORDER_DREG))
        case "cmp":
            return try .compare(found.number(NFTA_CMP_OP), found.value(NFTA_CMP_DATA), in: found.number(NFTA_CMP_SREG))
        case "ct":
            return try .connection(
                found.number(NFTA_CT_KEY), of: found.byte(NFTA_CT_DIRECTION).flatMap(Direction.init),
                into: found.number(NFTA_CT_DREG))
        case "exthdr":
            return try .setOption(
                found.number(NFTA_EXTHDR_OP), type: found.byte(NFTA_EXTHDR_TYPE) ?? 0, offset: found.number(NFTA_EXTHDR_OFFSET),
                length: found.number(NFTA_EXTHDR_LEN), from: found.number(NFTA_EXTHDR_SREG))
        case "fib":
            return try .fib(flags: found.number(NFTA_FIB_FLAGS), found.number(NFTA_FIB_RESULT), into: found.number(NFTA_FIB_DREG))
        case "immediate":
            if let verdict = try found.verdict(NFTA_IMMEDIATE_DATA) { return .verdict(verdict) }
            return try .immediate(found.value(NFTA_IMMEDIATE_DATA), into: found.number(NFTA_IMMEDIATE_DREG))
        case "lookup":
            return try .lookup(
                in: found.string(NFTA_LOOKUP_SET), from: found.number(NFTA_LOOKUP_SREG),
                into: found.optional(NFTA_LOOKUP_DREG).map(Register.init),
                isInverted: (found.optional(NFTA_LOOKUP_FLAGS) ?? 0) & NFT_LOOKUP_F_INV.rawValue != 0)
        case "masq": return .masquerade
        case "match": return try found.iptables(Self.match)
        case "meta": return try .meta(found.number(NFTA_META_KEY), into: found.number(NFTA_META_DREG))
        case "nat":
            let type: nft_nat_types = try found.number(NFTA_NAT_TYPE)
            let family: UInt32 = try found.number(NFTA_NAT_FAMILY)
            guard type == NFT_NAT_DNAT, family == UInt32(NFPROTO_IPV4) else { return .other(name) }
            return try .destinationNAT(
                address: found.number(NFTA_NAT_REG_ADDR_MIN), port: found.optional(NFTA_NAT_REG_PROTO_MIN).map(Register.init))
        case "payload":
            let base: nft_payload_bases = try found.number(NFTA_PAYLOAD_BASE)
            let (offset, length): (UInt32, UInt32) = try (found.number(NFTA_PAYLOAD_OFFSET), found.number(NFTA_PAYLOAD_LEN))
            guard let source = try found.optional(NFTA_PAYLOAD_SREG) else {
                return try .payload(base, offset: offset, length: length, into: found.number(NFTA_PAYLOAD_DREG))
            }
            return try .setPayload(
                base, offset: offset, length: length, checksum: found.number(NFTA_PAYLOAD_CSUM_TYPE),
                at: found.number(NFTA_PAYLOAD_CSUM_OFFSET), from: Register(rawValue: source))
        case "range":
            return try .range(
                found.number(NFTA_RANGE_OP), from: found.value(NFTA_RANGE_FROM_DATA), to: found.value(NFTA_RANGE_TO_DATA),
                in: found.number(NFTA_RANGE_SREG))
        case "rt": return try .route(found.number(NFTA_RT_KEY), into: found.number(NFTA_RT_DREG))
        case "target": return try found.iptables(Self.target)
        default: return .other(name)
        }
    }
}

/// Why an expression cannot be read.
private enum Unreadable: Error {
    case malformed(MalformedNetlink)
    /// It lacks an attribute, or has a value that is not known here: such as one that sets what it mostly loads.
    case unknown
}

/// The attributes that the kernel says an expression has.
private struct Found {
    private let attributes: ParsedAttributes?

    init(_ attributes: ParsedAttributes?) { self.attributes = attributes }

    private func attribute<Value>(
        _ type: some RawRepresentable<UInt32>, _ read: (ParsedAttribute) throws(MalformedNetlink) -> Value?
    ) throws(Unreadable) -> Value? {
        guard let attribute = attributes?[NetlinkAttributeType(type)] else { return nil }
        do throws(MalformedNetlink) { return try read(attribute) } catch { throw .malformed(error) }
    }

    private func needed<Value>(_ value: Value?) throws(Unreadable) -> Value {
        guard let value else { throw .unknown }
        return value
    }

    func optional(_ type: some RawRepresentable<UInt32>) throws(Unreadable) -> UInt32? {
        try attribute(type) { (found) throws(MalformedNetlink) in try found.u32BigEndian() }
    }

    func number(_ type: some RawRepresentable<UInt32>) throws(Unreadable) -> UInt32 { try needed(optional(type)) }

    func number<Value: RawRepresentable<UInt32>>(_ type: some RawRepresentable<UInt32>) throws(Unreadable) -> Value {
        try needed(Value(rawValue: number(type)))
    }

    func byte(_ type: some RawRepresentable<UInt32>) throws(Unreadable) -> UInt8? {
        try attribute(type) { (found) throws(MalformedNetlink) in try found.u8() }
    }

    func bytes(_ type: some RawRepresentable<UInt32>) throws(Unreadable) -> [UInt8] {
        try needed(attribute(type) { (found) in Array(found.payload) })
    }

    func string(_ type: some RawRepresentable<UInt32>) throws(Unreadable) -> String { try needed(attribute(type) { $0.string }) }

    /// `NFTA_DATA_VALUE` in a nest.
    func value(_ type: some RawRepresentable<UInt32>) throws(Unreadable) -> [UInt8] {
        try needed(
            attribute(type) { (found) throws(MalformedNetlink) in
                try found.nested()[NetlinkAttributeType(NFTA_DATA_VALUE)].map { Array($0.payload) }
            })
    }

    func iptables<Result>(_ make: (String, UInt32, [UInt8]) -> Result) throws(Unreadable) -> Result {
        make(try string(Iptables.name), try optional(Iptables.revision) ?? 0, try bytes(Iptables.structure))
    }

    func verdict(_ type: some RawRepresentable<UInt32>) throws(Unreadable) -> RuleVerdict? {
        try attribute(type) { (found) throws(MalformedNetlink) in try RuleVerdict(found.nested()) }
    }
}

/// The kernel's name for an expression, and its attributes.
private struct Written {
    let name: String
    let attributes: [NetlinkAttributes]

    init(_ name: String, _ attributes: NetlinkAttributes...) {
        self.name = name
        self.attributes = attributes
    }

    init(_ name: String, iptables its: String, _ revision: UInt32, _ structure: [UInt8]) {
        self.init(name, .string(Iptables.name, its), .number(Iptables.revision, revision), .bytes(Iptables.structure, structure))
    }
}

extension NetlinkAttributes {
    /// Nothing for nil.
    fileprivate static func number(_ type: some RawRepresentable<UInt32>, _ value: UInt32?) -> Self {
        Self { if let value { $0.put(NetlinkAttributeType(type), u32BigEndian: value) } }
    }

    fileprivate static func number(_ type: some RawRepresentable<UInt32>, _ value: some RawRepresentable<UInt32>) -> Self {
        number(type, value.rawValue)
    }

    fileprivate static func byte(_ type: some RawRepresentable<UInt32>, _ value: UInt8?) -> Self {
        Self { if let value { $0.put(NetlinkAttributeType(type), u8: value) } }
    }

    fileprivate static func bytes(_ type: some RawRepresentable<UInt32>, _ value: [UInt8]) -> Self {
        Self { $0.put(NetlinkAttributeType(type), bytes: value) }
    }

    fileprivate static func string(_ type: some RawRepresentable<UInt32>, _ text: String) -> Self {
        Self { $0.put(NetlinkAttributeType(type), string: text) }
    }

    /// `NFTA_DATA_VALUE` in a nest.
    fileprivate static func value(_ type: some RawRepresentable<UInt32>, _ bytes: [UInt8]) -> Self {
        Self { $0.nest(NetlinkAttributeType(type)) { $0.put(NetlinkAttributeType(NFTA_DATA_VALUE), bytes: bytes) } }
    }
}

/// `enum nft_match_attributes` of linux/netfilter/nf_tables_compat.h; targets have the same.
private enum Iptables: UInt32 { case name = 1, revision, structure }

// MARK: The words we use

extension NFTablesExpression {
    /// The register AND `mask`.
    static func mask(_ mask: [UInt8], in register: Register = .first) -> Self {
        .bitwise(mask: mask, xor: [UInt8](repeating: 0, count: mask.count), from: register, into: register)
    }

    /// Lowers the MSS option of a TCP segment to what the route carries, both ways; never raises it.
    static let clampMSS: [Self] = [
        .route(NFT_RT_TCPMSS), .byteOrder(NFT_BYTEORDER_HTON, length: 2, size: 2),
        // TCP option 2 (RFC 9293, section 3.2): the two bytes after its kind and length.
        .setOption(NFT_EXTHDR_OP_TCPOPT, type: 2, offset: 2, length: 2),
    ]

    /// Clears the "don't fragment" bit: 0x4000 of the two bytes at offset 6 of the IPv4 header, whose checksum is at 10 (RFC 791,
    /// section 3.1).
    static let allowFragments: [Self] = [
        .payload(NFT_PAYLOAD_NETWORK_HEADER, offset: 6, length: 2), .mask([0xBF, 0xFF]),
        .setPayload(NFT_PAYLOAD_NETWORK_HEADER, offset: 6, length: 2, checksum: NFT_PAYLOAD_CSUM_INET, at: 10),
    ]

    /// Goes on with the next rule unless the packet is for an address of this host; in the host's byte order, as the kernel's `fib`
    /// writes it.
    static let toThisHost: [Self] = [
        .fib(flags: NFTA_FIB_F_DADDR.rawValue, NFT_FIB_RESULT_ADDRTYPE), .compare(.equal, hostOrder(UInt32(RTN_LOCAL))),
    ]

    /// Goes on with the next rule unless the packet's interface, that it came by or leaves by, compares so with the one named.
    static func interface(_ key: nft_meta_keys, _ comparison: Comparison, _ name: String) -> [Self] {
        // A name in nf_tables fills `IFNAMSIZ` bytes.
        let bytes = Array(name.utf8.prefix(Int(IFNAMSIZ) - 1))
        return [.meta(key), .compare(comparison, bytes + [UInt8](repeating: 0, count: Int(IFNAMSIZ) - bytes.count))]
    }

    /// The destination stands at byte 16 of the IPv4 header (RFC 791, section 3.1).
    static let destination: Self = .payload(NFT_PAYLOAD_NETWORK_HEADER, offset: 16, length: 4)

    /// Goes on with the next rule unless the packet is for an address of the network.
    static func isFor(_ network: CIDR) -> [Self] {
        let mask = network.prefixLength == 0 ? 0 : ~UInt32(0) << UInt32(32 - network.prefixLength)
        return [.destination, .mask(IPv4Address(number: mask).bytes), .compare(.equal, network.address.bytes)]
    }

    /// Goes on with the next rule unless the packet is of this protocol of IP (`IPPROTO_*`).
    static func isOf(_ number: Int) -> [Self] { [.meta(NFT_META_L4PROTO), .compare(.equal, [UInt8(number)])] }

    /// Goes on with the next rule unless the packet is for this port.
    static func isFor(_ protocol: TransportProtocol, _ port: Port) -> [Self] {
        isOf(`protocol` == .tcp ? IPPROTO_TCP : IPPROTO_UDP) + [
            .payload(NFT_PAYLOAD_TRANSPORT_HEADER, offset: 2, length: 2), .compare(.equal, ForwardMap.bytes(port)),
        ]
    }

    /// SYN without RST; the flags stand at byte 13 of the TCP header (RFC 9293, section 3.1).
    static let isSYN: [Self] =
        isOf(IPPROTO_TCP) + [
            .payload(NFT_PAYLOAD_TRANSPORT_HEADER, offset: 13, length: 1), .mask([0x06]), .compare(.equal, [0x02]),
        ]

    static let isDestinationNATed: [Self] = [
        .connection(NFT_CT_STATUS), .mask(hostOrder(IPS_DST_NAT.rawValue)), .compare(.notEqual, [0, 0, 0, 0]),
    ]

    /// Of a connection that is known already. State bits are 1 << (state + 1) (nf_conntrack_common.h): established 2, related 4.
    static let isReply: [Self] = [.connection(NFT_CT_STATE), .mask(hostOrder(6)), .compare(.notEqual, [0, 0, 0, 0])]

    /// The bytes of an integer that nf_tables holds in host order: connection states, address types.
    public static func hostOrder(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }
}
