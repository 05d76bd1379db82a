import Glibc
import HostNetwork
import NFTables
import NetworkTypes

/// Run by the script `run` beside it, in a network namespace that it made.
///
///     nat-benchmark update       prints lines `TRANSPORT BINDINGS MILLISECONDS`: one binding's target changed, the median of
///                                many; that of a UDP binding includes the search for flows to the former target
///     nat-benchmark hold COUNT   sets up that many bindings, says so, and waits for the end of its input
@main struct NATBenchmark {
    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst()
        switch (arguments.first, arguments.last.flatMap { Int($0) }) {
        case ("update", nil): try measureUpdates()
        case ("hold", let count?):
            _ = try NATTable().apply(ruleset(forwards(count)))
            say("\(count) bindings\n", on: STDOUT_FILENO)
            while readLine() != nil {}
        default:
            say("usage: nat-benchmark update | hold COUNT\n", on: STDERR_FILENO)
            exit(2)
        }
    }

    /// At once, where `print` would wait for more.
    private static func say(_ text: String, on descriptor: Int32) {
        let bytes = Array(text.utf8)
        _ = write(descriptor, bytes, bytes.count)
    }

    private static func measureUpdates() throws {
        for transport in TransportProtocol.allCases { for count in [5, 50, 500, 5000] { try measureUpdates(transport, count) } }
    }

    private static func measureUpdates(_ transport: TransportProtocol, _ count: Int) throws {
        let table = try NATTable()
        var wanted = try ruleset(forwards(count, transport))
        _ = try table.apply(wanted)
        let key = ForwardKey(transport, try Port(count))
        var times: [Duration] = []
        for round in 0..<51 {
            wanted.forwards[key] = ForwardTarget(try IPv4Address(parsing: "10.96.1.\(round)"), try Port(9))
            var changes: [HostChange] = []
            times.append(try ContinuousClock().measure { changes = try table.apply(wanted) })
            guard changes.first?.description == "nftables: map forwards: 0 added, 1 changed, 0 removed" else {
                fatalError("\(changes)")
            }
        }
        let median = times.sorted()[times.count / 2]
        print("\(transport) \(count) \(median / .milliseconds(1))")
        _ = try table.remove()
    }

    /// The last one, on the port `count`, leads to port 9000 of the tunnel address itself.
    private static func forwards(_ count: Int, _ transport: TransportProtocol = .udp) throws -> Forwards {
        var forwards: Forwards = [:]
        let address = try IPv4Address(parsing: "10.200.0.2")
        for number in 1...count { forwards[ForwardKey(transport, try Port(number))] = ForwardTarget(address, try Port(9000)) }
        return forwards
    }

    private static func ruleset(_ forwards: Forwards) throws -> UplinkRuleset {
        UplinkRuleset(
            interface: "wg-uplink", address: try IPv4Address(parsing: "10.200.0.2"),
            relay: try IPv4Address(parsing: "10.200.0.1"),
            bridge: .off, forwardsNothingElse: false, forwards: forwards)
    }
}
