import CLinuxHeaders
public import NetlinkMessages

/// Where a rule sends a packet (`enum nft_verdicts`, and the verdicts of linux/netfilter.h).
public enum RuleVerdict: Hashable, Sendable {
    case accept
    case drop
    /// The next rule of the same chain.
    case goOn
    /// The chain, and back.
    case jump(String)
    /// The chain, and not back.
    case goTo(String)
    /// Back to where the chain was jumped to from.
    case back
    /// Such as a queue, where another program decides.
    case other(Int32)

    /// From a nest that holds `NFTA_DATA_VERDICT`.
    /// - Returns: nil when it holds a value instead.
    public init?(_ data: ParsedAttributes) throws(MalformedNetlink) {
        guard let verdict = try data[NetlinkAttributeType(NFTA_DATA_VERDICT)]?.nested(),
            let code = try verdict[NetlinkAttributeType(NFTA_VERDICT_CODE)]?.u32BigEndian()
        else { return nil }
        let chain = verdict[NetlinkAttributeType(NFTA_VERDICT_CHAIN)]?.string ?? ""
        switch Int32(bitPattern: code) {
        case NFT_CONTINUE.rawValue, NFT_BREAK.rawValue: self = .goOn
        case NFT_JUMP.rawValue: self = .jump(chain)
        case NFT_GOTO.rawValue: self = .goTo(chain)
        case NFT_RETURN.rawValue: self = .back
        case NF_ACCEPT: self = .accept
        case NF_DROP: self = .drop
        case let code: self = .other(code)
        }
    }

    /// As a nest of this type.
    func written(_ type: some RawRepresentable<UInt32>) -> NetlinkAttributes {
        let (code, chain): (Int32, String?) =
            switch self {
            case .accept: (NF_ACCEPT, nil)
            case .drop: (NF_DROP, nil)
            case .goOn: (NFT_CONTINUE.rawValue, nil)
            case .jump(let chain): (NFT_JUMP.rawValue, chain)
            case .goTo(let chain): (NFT_GOTO.rawValue, chain)
            case .back: (NFT_RETURN.rawValue, nil)
            case .other(let code): (code, nil)
            }
        return NetlinkAttributes {
            $0.nest(NetlinkAttributeType(type)) {
                $0.nest(NetlinkAttributeType(NFTA_DATA_VERDICT)) {
                    $0.put(NetlinkAttributeType(NFTA_VERDICT_CODE), u32BigEndian: UInt32(bitPattern: code))
                    if let chain { $0.put(NetlinkAttributeType(NFTA_VERDICT_CHAIN), string: chain) }
                }
            }
        }
    }
}
