import CLinuxHeaders
import NFTables
import NetworkTypes

/// A chain of the host's firewall that drops what comes to a port.
public struct InputDrop: Hashable, Sendable {
    /// `ip`, `ip6` or `inet`.
    public let family: String
    public let table: String
    public let chain: String
    /// The command that lets it in, in the words of the program that made the chain.
    public let remedy: String
}

extension HostRuleset {
    /// The first chain on the hook `input` that drops the packet for certain; nil where none does, or where it depends on what
    /// cannot be known here, such as a limit or another program.
    public func drop(of packet: InboundPacket) -> InputDrop? {
        let tables = chains.keys.filter { packet.meets($0.family) }.sorted { ($0.family, $0.name) < ($1.family, $1.name) }
        for table in tables {
            let hooked = (chains[table] ?? [:]).values.filter { $0.hook == NF_INET_LOCAL_IN.rawValue }
            for chain in hooked.sorted(by: { $0.name < $1.name }) {
                var walk = RuleWalk(ruleset: self, table: table, packet: packet)
                var ends = walk.ends(of: chain.name, depth: 0)
                if ends.remove(.undecided) != nil { ends.insert(chain.drops ? .dropped : .accepted) }
                if ends == .dropped { return InputDrop(packet, table, chain: chain.name, isUFW: isUFW(table)) }
            }
        }
        return nil
    }

    private func isUFW(_ table: TableName) -> Bool {
        chains[table]?["ufw-user-input"] != nil || chains[table]?["ufw6-user-input"] != nil
    }
}

extension InputDrop {
    fileprivate init(_ packet: InboundPacket, _ table: HostRuleset.TableName, chain: String, isUFW: Bool) {
        let transport = packet.transport.rawValue.lowercased()
        family = UInt32(table.family) == UInt32(NFPROTO_INET) ? "inet" : packet.family == .v4 ? "ip" : "ip6"
        self.table = table.name
        self.chain = chain
        if isUFW {
            remedy = "ufw allow \(packet.port)/\(transport)"
        } else if table.name == "firewalld" {
            remedy = "firewall-cmd --permanent --add-port=\(packet.port)/\(transport) && firewall-cmd --reload"
        } else if table.name == "filter" && chain == "INPUT" {
            let program = packet.family == .v4 ? "iptables" : "ip6tables"
            remedy = "\(program) -I INPUT -p \(transport) --dport \(packet.port) -j ACCEPT"
        } else {
            remedy = "nft insert rule \(family) \(table.name) \(chain) \(transport) dport \(packet.port) accept"
        }
    }
}

/// How a packet may leave a chain.
struct ChainEnds: OptionSet, Sendable {
    let rawValue: UInt8
    static let accepted = Self(rawValue: 1)
    static let dropped = Self(rawValue: 2)
    /// By its end, or back to where it came from.
    static let undecided = Self(rawValue: 4)
    static let any: Self = [.accepted, .dropped, .undecided]
}

/// Follows one packet through the chains of one table.
private struct RuleWalk {
    let ruleset: HostRuleset
    let table: HostRuleset.TableName
    let packet: InboundPacket
    private var known: [String: ChainEnds] = [:]

    init(ruleset: HostRuleset, table: HostRuleset.TableName, packet: InboundPacket) {
        self.ruleset = ruleset
        self.table = table
        self.packet = packet
    }

    /// The kernel's NFT_JUMP_STACK_SIZE.
    private static let deepest = 16

    mutating func ends(of chain: String, depth: Int) -> ChainEnds {
        if let ends = known[chain] { return ends }
        guard depth <= Self.deepest, let rules = ruleset.chains[table]?[chain]?.rules else { return .any }
        var ends: ChainEnds = []
        for rule in rules {
            let (verdict, isCertain) = decide(rule)
            var next: ChainEnds
            switch verdict {
            case .goOn: continue
            case .accept: next = .accepted
            case .drop: next = .dropped
            case .back: next = .undecided
            case .other, nil: next = .any
            case .goTo(let other): next = self.ends(of: other, depth: depth + 1)
            case .jump(let other):
                next = self.ends(of: other, depth: depth + 1)
                // Those that come back go on here.
                let comesBack = next.remove(.undecided) != nil
                ends.formUnion(next)
                if isCertain && !comesBack {
                    known[chain] = ends
                    return ends
                }
                continue
            }
            ends.formUnion(next)
            if isCertain {
                known[chain] = ends
                return ends
            }
        }
        ends.insert(.undecided)
        known[chain] = ends
        return ends
    }

    /// - Returns: where the rule sends the packet (nil where another program decides), and whether it does so for certain.
    private func decide(_ rule: [NFTablesExpression]) -> (RuleVerdict?, isCertain: Bool) {
        var machine = RuleMachine(packet: packet, sets: ruleset.sets[table] ?? [:])
        var isCertain = true
        for expression in rule {
            switch machine.run(expression) {
            case .goesOn: break
            case .fails: return (.goOn, true)
            case .mayFail: isCertain = false
            case .ends(let verdict): return (verdict, isCertain)
            }
        }
        return (.goOn, true)
    }
}
