import HostNetwork
import NFTables
import NetlinkMessages
import NetworkTypes
import NodeDocument
import Sodium
import Testing
import WireGuardNetlink

@testable import UplinkAgent

@Suite struct TunnelKeeperTests {
    private let bench: KeeperBench

    init() throws { bench = try KeeperBench() }

    /// An uplink whose document is in force and whose relay was dialed, at second 1; its host changes nothing more.
    private func settled() -> KeeperBench {
        var bench = bench
        _ = bench.turn(.filesChanged, at: 0)
        _ = bench.turn(.resolved(bench.host, [bench.address], nil), at: 1)
        return bench
    }

    @Test func theFirstDocumentIsPutInForceAndItsRelayDialed() {
        var bench = bench
        #expect(bench.turn(.tick, at: 0) == "")
        bench.changes = [.ruleset(.create)]
        #expect(
            bench.turn(.filesChanged, at: 0)
                == "read, look up relay.example, settle, applied(nftables: made table ip tidegate), look, looked, find obstacles")
        bench.changes = [bench.dialing]
        #expect(bench.turn(.tick, at: 1) == "look, looked")
        #expect(
            bench.turn(.resolved(bench.host, [bench.address], nil), at: 1)
                == "looked up, read known, sound, settle dialing 198.51.100.1:51821, changed(\(bench.dialing))")
        bench.changes = []
        #expect(bench.turn(.tick, at: 2) == "look, looked")
    }

    @Test func anAddressNeedsNoLookUp() throws {
        var bench = try KeeperBench(relay: "198.51.100.7")
        let first = bench.turn(.filesChanged, at: 0)
        #expect(first.hasPrefix("read, settle dialing 198.51.100.7:51821, applied"), "\(first)")
    }

    /// What this end wants otherwise than before is no repair.
    @Test(arguments: [
        // Whether the relay is dialed then, what was changed, what is told.
        (true, "dialing", "changed"), (true, "dialing keepalive", "changed"), (true, "mtu", "repaired"),
        (true, "dialing mtu", "repaired"), (false, "dialing", "repaired"), (false, "ruleset", "repaired"), (true, "", "nothing"),
        (false, "", "nothing"),
    ])
    func whatOthersChangedIsARepair(isDialing: Bool, changes: String, told: String) throws {
        var bench = settled()
        // Stale, so that it is dialed anew; or fresh.
        bench.handshake = isDialing ? nil : 1030
        _ = bench.turn(.tick, at: 30)
        bench.changes = bench.changes(named: changes)
        let words = bench.turn(.tick, at: 61)
        #expect(words.contains("settle dialing") == isDialing, "\(words)")
        let end =
            told == "nothing" ? "" : ", \(told)(\(HostChange.words(bench.changes)))"
        #expect(words.hasSuffix("198.51.100.1:51821\(end)") || words.hasSuffix("settle\(end)"), "\(words)")
    }

    @Test func driftIsLookedForEveryHalfMinute() {
        var bench = settled()
        bench.handshake = 1000
        let seconds = (2...100).filter { second in
            bench.handshake = 1000 + Int64(second)
            return bench.turn(.tick, at: second).contains("settle")
        }
        #expect(seconds == [31, 61, 91])
    }

    @Test func failuresAreTriedAgainLessAndLessOften() {
        var bench = bench
        bench.refusal = .host(cause: "h")
        #expect(bench.turn(.filesChanged, at: 0) == "read, look up relay.example, settle, failed(h)")
        var tries: [Int] = []
        for second in 1...130 where bench.turn(.tick, at: second) == "settle, failed(h) again" { tries.append(second) }
        #expect(tries == [1, 3, 7, 15, 31, 61, 91, 121])
        bench.refusal = nil
        #expect(bench.turn(.tick, at: 200).hasPrefix("settle, applied"))
        // Another document waits for nobody.
        bench.refusal = .host(cause: "h")
        bench.handshake = 1201
        _ = bench.turn(.tick, at: 230)
        bench.refusal = nil
        bench.reading = .success(bench.other)
        #expect(bench.turn(.filesChanged, at: 230).contains("applied"))
    }

    @Test func aBrokenDocumentLeavesTheOneInForce() {
        var bench = settled()
        let good = bench.reading
        bench.reading = .failure(.documentInvalid(path: "d", reason: "r"))
        #expect(bench.turn(.filesChanged, at: 2) == "read known, failed(the document d is invalid: r)")
        #expect(bench.turn(.filesChanged, at: 3) == "read known, failed(the document d is invalid: r) again")
        bench.handshake = 1031
        #expect(bench.turn(.tick, at: 31).contains("failed(the document d is invalid: r) again, settle"))
        bench.reading = good
        #expect(bench.turn(.filesChanged, at: 32) == "read known, sound")
    }

    @Test func whatWasTouchedIsLookedAtAtOnce() {
        var bench = settled()
        bench.handshake = 1002
        #expect(bench.turn(.tick, at: 2) == "look, looked")
        bench.isTouched = true
        bench.changes = [.ruleset(.create)]
        #expect(
            bench.turn(.tick, at: 3)
                == "look, probe 1420, looked, read known, sound, settle, repaired(nftables: made table ip tidegate)")
    }

    @Test func aDeviceThatIsGoneIsMadeAnew() {
        var bench = settled()
        bench.status = .failure(.host(cause: "gone"))
        bench.changes = bench.changes(named: "ruleset")
        let words = bench.turn(.tick, at: 2)
        #expect(words.hasPrefix("look, device lost, read known, sound, settle"), "\(words)")
    }

    @Test func aSilentRelayIsSpokenToThenRenewedAndLookedUp() {
        var bench = settled()
        bench.handshake = 1001
        bench.isSilent = true
        let words = (2...23).map { bench.turn(.tick, at: $0) }
        #expect(words[0] == "look, looked")
        // Nothing was heard since second 0.
        #expect(words[1] == "look, speak, probe 1420, looked")
        #expect(words[4] == "look, renewing(198.51.100.1:51821), renew, looked")
        #expect(words[5] == "look, renew, looked")
        #expect(words.firstIndex { $0.contains("look up") } == 18, "\(words)")
        bench.renewal = .host(cause: "h")
        #expect(bench.turn(.tick, at: 24).contains("renew, not renewed(h), looked, read known, sound, settle"))
    }

    @Test func aNameThatIsNoLongerTheRelaysIsIgnored() throws {
        var bench = settled()
        let other = try HostAddress(parsing: "other.example")
        #expect(bench.turn(.resolved(other, [bench.address], nil), at: 2) == "looked up another")
        let problem = UplinkError.relayUnresolvable(name: "relay.example", reason: "r")
        #expect(bench.turn(.resolved(bench.host, [], problem), at: 3) == "looked up: \(problem)")
    }

    @Test func aNarrowPathIsNoRepair() throws {
        var bench = settled()
        bench.width = 1300
        bench.changes = bench.changes(named: "mtu")
        var words: [String] = []
        for second in 2...60 {
            bench.handshake = 1000 + Int64(second)
            words.append(bench.turn(.tick, at: second))
        }
        let found = try #require(words.first { $0.contains("narrow path") })
        #expect(found.contains("narrow path(1298 of 1420), looked, read known, sound, settle mtu 1298, changed("), "\(found)")
        #expect(words.last?.contains("narrow") == false)
    }

    @Test func aCrowdedTableIsWidenedOnce() {
        var bench = settled()
        bench.flows = 65_000
        #expect(bench.turn(.tick, at: 2) == "look, looked crowded, widen to 262144")
        #expect(bench.turn(.tick, at: 3) == "look, looked crowded")
        bench.flows = 5
        #expect(
            bench.turn(.tick, at: 63)
                == "look, looked, look up relay.example, read known, sound, settle dialing 198.51.100.1:51821")
        bench.flows = 65_000
        #expect(bench.turn(.tick, at: 64) == "look, looked crowded, widen to 262144")
    }

    @Test func obstaclesAreToldOnce() {
        var bench = bench
        bench.obstacles = [.firewall(chain: "filter FORWARD")]
        #expect(bench.turn(.filesChanged, at: 0).hasSuffix("find obstacles, obstacle(filter FORWARD)"))
        bench.reading = .success(bench.other)
        #expect(bench.turn(.filesChanged, at: 1).hasSuffix("applied(), look, looked, find obstacles"))
        bench.obstacles.append(.firewall(chain: "fw f"))
        bench.reading = bench.first
        #expect(bench.turn(.filesChanged, at: 2).hasSuffix("find obstacles, obstacle(fw f)"))
    }
}
