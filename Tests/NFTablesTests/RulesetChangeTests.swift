import NetlinkMessages
import NetworkTypes
import Testing

@testable import NFTables

private func target(_ text: String, _ port: Int) throws -> ForwardTarget {
    ForwardTarget(try IPv4Address(parsing: text), try Port(port))
}

private func ruleset(_ forwards: Forwards, _ spreads: Spreads = [:]) throws -> UplinkRuleset {
    UplinkRuleset(
        interface: "wg-uplink", address: try IPv4Address(parsing: "10.200.0.2"), relay: try IPv4Address(parsing: "10.200.0.1"),
        bridge: .off, forwardsNothingElse: false, forwards: forwards, spreads: spreads)
}

@Suite struct RulesetChangeTests {
    @Test func anElementHasTheBytesThatNftSends() throws {
        let message = try #require(
            NFTablesMessages.addElements([(ForwardKey(.tcp, try Port(80)), try target("10.96.0.1", 8080))]).first)
        // As `nft --debug=mnl` shows it, its set id aside.
        let expected: [UInt8] = [
            13, 0, 1, 0, 0x74, 0x69, 0x64, 0x65, 0x67, 0x61, 0x74, 0x65, 0, 0, 0, 0,  // table "tidegate"
            13, 0, 2, 0, 0x66, 0x6F, 0x72, 0x77, 0x61, 0x72, 0x64, 0x73, 0, 0, 0, 0,  // set "forwards"
            40, 0, 3, 0x80,  // elements
            36, 0, 1, 0x80,  // an element
            16, 0, 1, 0x80, 12, 0, 1, 0, 6, 0, 0, 0, 0, 80, 0, 0,  // key: TCP, 80
            16, 0, 2, 0x80, 12, 0, 1, 0, 10, 96, 0, 1, 0x1F, 0x90, 0, 0,  // data: 10.96.0.1, 8080
        ]
        #expect(message.attributes.bytes == expected)
        #expect(message.type == 0x0A0C)
    }

    @Test func aFullPortRangeFitsItsMessages() throws {
        var forwards: Forwards = [:]
        for number in 1...65535 { forwards[ForwardKey(.tcp, try Port(number))] = try target("10.96.0.1", number) }
        let change = try RulesetChange(from: RulesetState(), to: ruleset(forwards))
        #expect(change.kind == .create)
        for message in change.transaction(generation: 7) { #expect(try message.encoded(sequence: 1).count < 65536) }
    }

    @Test func onlyWhatDiffersIsSent() throws {
        let old: Forwards = [
            ForwardKey(.tcp, try Port(1)): try target("10.0.0.1", 1), ForwardKey(.udp, try Port(2)): try target("10.0.0.1", 2),
            ForwardKey(.tcp, try Port(3)): try target("10.0.0.1", 3),
        ]
        let new: Forwards = [
            ForwardKey(.tcp, try Port(1)): try target("10.0.0.1", 1), ForwardKey(.udp, try Port(2)): try target("10.0.0.9", 2),
            ForwardKey(.tcp, try Port(4)): try target("10.0.0.1", 4),
        ]
        let change = try RulesetChange(from: try state(of: ruleset(old)), to: ruleset(new))
        #expect(
            change.kind
                == .update(
                    added: [ForwardKey(.tcp, try Port(4))], changed: [ForwardKey(.udp, try Port(2))],
                    removed: [ForwardKey(.tcp, try Port(3))]))
        #expect(change.kind.concernsUDP)
        #expect(
            change.messages.map(\.description) == [
                "NFT_MSG_DELSETELEM (2) in map forwards of table ip tidegate",
                "NFT_MSG_NEWSETELEM (2) in map forwards of table ip tidegate",
            ])
        #expect(try RulesetChange(from: try state(of: ruleset(old)), to: ruleset(old)).kind == .none)
    }

    /// Of an endpoint that comes or goes only the slots change, and never a rule.
    @Test func endpointsComeAndGoByTheirSlots() throws {
        let key = ForwardKey(.tcp, try Port(80))
        let endpoints = try (1...3).map { try target("10.244.0.\($0)", 8080) }
        let two = try ruleset([:], [key: Array(endpoints[..<2])])
        let three = try ruleset([:], [key: endpoints])
        let change = RulesetChange(from: try state(of: two), to: three)
        #expect(change.kind == .update(added: [], changed: [key], removed: []))
        #expect(change.messages.allSatisfy { $0.description.hasSuffix("in map endpoints of table ip tidegate") })
        #expect(RulesetChange(from: try state(of: three), to: three).kind == .none)
        #expect(
            try RulesetChange(from: try state(of: three), to: ruleset([:])).kind
                == .update(added: [], changed: [], removed: [key]))
        // One that is left alone is a forward like any other.
        let one = try ruleset([key: endpoints[0]])
        #expect(RulesetChange(from: try state(of: two), to: one).kind == .update(added: [key], changed: [], removed: [key]))
        let slots = SpreadMap.elements([key: endpoints])
        #expect(endpoints.map { endpoint in slots.values.count { $0 == endpoint } } == [22, 21, 21])
    }

    @Test func anotherRuleMeansAnotherTable() throws {
        let wanted = try ruleset([:])
        var present = try state(of: wanted)
        present.rules.removeLast()
        let change = RulesetChange(from: present, to: wanted)
        #expect(change.kind == .rebuild(reason: "the rules of chain input"))
        #expect(change.messages.first?.description == "NFT_MSG_DELTABLE of table ip tidegate")
        #expect(change.kind.concernsUDP)
    }

    @Test func everyBrokenAnswerIsAnErrorAndNoCrash() throws {
        var generator = SystemRandomNumberGenerator()
        let replies = try replies(to: ruleset([ForwardKey(.tcp, try Port(1)): try target("10.0.0.1", 1)]))
        var refused = 0
        for _ in 0..<500 {
            var broken = replies
            let index = broken.indices.randomElement(using: &generator) ?? 0
            var bytes = Array(broken[index].body)
            bytes[Int.random(in: 4..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            broken[index] = NetlinkReply.fake(type: broken[index].type, body: bytes)
            do { _ = try RulesetChange(from: try state(from: broken), to: ruleset([:])) } catch { refused += 1 }
        }
        #expect(refused > 0)
    }

    /// The kernel's answers about a table that is as wanted: its messages are the answers' bytes.
    private func replies(to wanted: UplinkRuleset) -> [NetlinkReply] {
        RulesetChange(from: RulesetState(), to: wanted).messages.map {
            NetlinkReply.fake(type: $0.type, body: $0.header + $0.attributes.bytes)
        }
    }

    private func state(of wanted: UplinkRuleset) throws -> RulesetState { try state(from: replies(to: wanted)) }

    private func state(from replies: [NetlinkReply]) throws -> RulesetState {
        func of(_ message: UInt16) -> [NetlinkReply] { replies.filter { $0.type == 0x0A00 | message } }
        return try RulesetState(table: of(0), chains: of(3), rules: of(6), maps: of(9), elements: of(12))
    }
}

extension NetlinkReply {
    /// A reply as the kernel would send it.
    static func fake(type: UInt16, body: [UInt8]) -> NetlinkReply {
        let message = NetlinkMessage(type: type, flags: [], header: body, description: "")
        do {
            let bytes = try message.encoded(sequence: 1)
            return try NetlinkReply.parse(bytes[...])[0]
        } catch {
            preconditionFailure("\(error)")
        }
    }
}
