import Foundation
import HostNetwork
import NFTables
import NetworkTypes
import TestNetwork
import Testing

/// New connections go round the endpoints of a binding, and open ones stay where they are.
@Suite struct SpreadTests {
    private let relay: TestNamespace
    private let uplink: TestNamespace
    private let pods: TestNamespace

    init() throws {
        relay = try TestNamespace("spread")
        uplink = try TestNamespace("spread")
        pods = try TestNamespace("spread")
        try relay.connect(to: uplink, interfaces: ("wg-relay", "wg-uplink"), addresses: ("10.200.0.1/24", "10.200.0.2/24"))
        try uplink.connect(to: pods, interfaces: ("eth0", "eth0"), addresses: ("10.244.0.254/24", "10.244.0.1/24"))
        for number in 2...5 { try pods.execute("ip", "address", "add", "10.244.0.\(number)/24", "dev", "eth0") }
        try uplink.execute("sysctl", "-qw", "net.ipv4.ip_forward=1")
        try pods.start("/usr/bin/python3", "-c", Self.server)
    }

    /// Says at which of its addresses each came.
    private static let server = """
        import socket, threading
        def serve(connection):
            with connection:
                while connection.recv(100): connection.sendall(connection.getsockname()[0].encode() + b' ')
        def datagrams(address):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.bind((address, 8080))
            while True:
                data, peer = udp.recvfrom(100)
                udp.sendto(address.encode(), peer)
        for number in range(1, 6): threading.Thread(target=datagrams, args=('10.244.0.%d' % number,), daemon=True).start()
        with socket.create_server(('0.0.0.0', 8080), backlog=512) as server:
            while True: threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
        """

    private func apply(_ endpoints: ClosedRange<Int>) throws {
        let targets = try endpoints.map { ForwardTarget(try IPv4Address(parsing: "10.244.0.\($0)"), try Port(8080)) }
        let (tcp, udp) = (ForwardKey(.tcp, try Port(80)), ForwardKey(.udp, try Port(80)))
        let address = try IPv4Address(parsing: "10.200.0.2")
        _ = try uplink.inside {
            try NATTable().apply(
                UplinkRuleset(
                    interface: "wg-uplink", address: address, relay: try IPv4Address(parsing: "10.200.0.1"), bridge: .off,
                    forwardsNothingElse: true, forwards: [:], spreads: [tcp: targets, udp: targets]))
        }
    }

    /// Opens that many connections one after the other, and counts who answered.
    private func counts(_ connections: Int, _ script: String) throws -> [String: Int] {
        let text = try relay.execute("/usr/bin/python3", "-c", script, "\(connections)")
        return try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Int])
    }

    private static let tcpClient = """
        import collections, json, socket, sys, time
        seen = collections.Counter()
        for _ in range(int(sys.argv[1])):
            for attempt in range(50):
                try:
                    with socket.create_connection(('10.200.0.2', 80), 2) as connection:
                        connection.sendall(b'x')
                        seen[connection.recv(100).decode().strip()] += 1
                    break
                except ConnectionRefusedError: time.sleep(0.1)
        print(json.dumps(seen))
        """

    private static let udpClient = """
        import collections, json, socket, sys
        seen = collections.Counter()
        for _ in range(int(sys.argv[1])):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.settimeout(2)
            udp.sendto(b'x', ('10.200.0.2', 80))
            seen[udp.recv(100).decode()] += 1
        print(json.dumps(seen))
        """

    @Test func connectionsGoRoundTheEndpoints() throws {
        try apply(1...3)
        let tcp = try counts(300, Self.tcpClient)
        #expect(tcp.count == 3 && tcp.values.allSatisfy { (70...130).contains($0) }, "\(tcp)")
        let udp = try counts(300, Self.udpClient)
        #expect(udp.count == 3 && udp.values.allSatisfy { (60...140).contains($0) }, "\(udp)")
        try apply(2...4)
        let later = try counts(90, Self.tcpClient)
        #expect(later.keys.sorted() == ["10.244.0.2", "10.244.0.3", "10.244.0.4"], "\(later)")
    }

    /// Connections and sessions of endpoints that stay are not touched; a UDP session of one that is gone goes elsewhere.
    @Test func openConnectionsStayWhereTheyAre() throws {
        try apply(1...3)
        let mark = "/tmp/\(relay.name)"
        let client = """
            import socket, sys, time
            def dial():
                for attempt in range(50):
                    try: return socket.create_connection(('10.200.0.2', 80), 2)
                    except ConnectionRefusedError: time.sleep(0.1)
            tcp = [dial() for _ in range(12)]
            udp = []
            for _ in range(24):
                one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                one.settimeout(2)
                one.connect(('10.200.0.2', 80))
                udp.append(one)
            def look(some):
                result = []
                for one in some:
                    one.send(b'x')
                    result.append(one.recv(100).decode().strip())
                return result
            before = look(tcp), look(udp)
            open('\(mark).ready', 'w').close()
            import os
            while not os.path.exists('\(mark).changed'): time.sleep(0.02)
            after = look(tcp), look(udp)
            moved = [(a, b) for a, b in zip(before[1], after[1]) if a != b]
            print('tcp', 'same' if before[0] == after[0] and len(set(before[0])) == 3 else (before[0], after[0]))
            print('udp', 'good' if moved and all(a == '10.244.0.1' and b != a for a, b in moved) and '10.244.0.1' not in after[1] else moved)
            """
        defer { for suffix in ["ready", "changed"] { unlink("\(mark).\(suffix)") } }
        let changer = Thread {
            while access("\(mark).ready", F_OK) != 0 { usleep(10_000) }
            do { try self.apply(2...4) } catch { Issue.record("\(error)") }
            close(open("\(mark).changed", O_CREAT | O_WRONLY, 0o600))
        }
        changer.start()
        #expect(try relay.execute("/usr/bin/timeout", "60", "/usr/bin/python3", "-c", client) == "tcp same\nudp good\n")
    }

    /// People read the table with nft.
    @Test func nftShowsTheRule() throws {
        try apply(1...2)
        let table = try uplink.execute("nft", "list", "table", "ip", "tidegate")
        #expect(table.contains("map endpoints"), "\(table)")
        #expect(table.contains("comment \"bindings to endpoints\""), "\(table)")
        #expect(table.split(separator: "\n").count { $0.contains("10.244.0.") } >= 128, "\(table)")
    }
}
