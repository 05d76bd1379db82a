import Glibc
import NetworkTypes
import Syscalls
import TestFiles
import Testing

@Suite struct SocketsTests {
    @Test func streamsOverAUnixSocket() throws {
        let folder = try TemporaryFolder()
        let address = try SocketAddress(unix: folder("socket"))
        let listener = try Descriptor.socket(AF_UNIX)
        try listener.bind(to: address)
        try listener.listen(backlog: 1)
        let client = try Descriptor.socket(AF_UNIX, isWaiting: false)
        try client.connect(to: address)
        let server = try listener.accept()
        var buffer = [UInt8](repeating: 0, count: 10)
        #expect(try server.receive(into: &buffer) == nil, "nothing has come")
        #expect(server.peer?.process == getpid() && server.peer?.user == getuid())
        // Some 200 kB fit, then nothing more; all at once would wait.
        var sent = 0
        while case let count = try client.send([UInt8](repeating: 1, count: 100_000)), count > 0 { sent += count }
        #expect(sent > 0)
        var received = 0
        var room = [UInt8](repeating: 0, count: 65536)
        while let count = try server.receive(into: &room) { received += count }
        #expect(received == sent)
    }

    /// Without MSG_NOSIGNAL it would be SIGPIPE, and the end of the tests.
    @Test func aPeerThatIsGoneIsAnError() throws {
        let name = "tidegate-test-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        let listener = try Descriptor.socket(AF_UNIX)
        try listener.bind(to: try SocketAddress(abstract: name))
        try listener.listen(backlog: 1)
        let client = try Descriptor.socket(AF_UNIX)
        try client.connect(to: try SocketAddress(abstract: name))
        do { _ = try listener.accept() }
        #expect { try client.sendAll([UInt8](repeating: 1, count: 1000)) } throws: {
            ($0 as? SystemFailure) == SystemFailure("send", EPIPE)
        }
        let other = try Descriptor.socket(AF_UNIX)
        #expect { try other.connect(to: try SocketAddress(abstract: name + "x")) } throws: {
            ($0 as? SystemFailure) == SystemFailure("connect", ECONNREFUSED)
        }
    }

    @Test func connectsOverIPWithoutWaiting() throws {
        for text in ["127.0.0.1", "::1"] {
            let ip = try IPAddress(parsing: text)
            let listener = try Descriptor.socket(SocketAddress(ip, portNumber: 0).family)
            do throws(SystemFailure) {
                try listener.bind(to: SocketAddress(ip, portNumber: 0))
            } catch {
                // A host without IPv6.
                #expect(error.code == EADDRNOTAVAIL)
                continue
            }
            try listener.listen(backlog: 1)
            var bound = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let result = withUnsafeMutablePointer(to: &bound) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(listener.number, $0, &length) }
            }
            try #require(result == 0)
            // The port stands at the same place for both families.
            let number = withUnsafeBytes(of: bound) { UInt16($0[2]) << 8 | UInt16($0[3]) }
            let client = try Descriptor.socket(Int32(bound.ss_family), isWaiting: false)
            try client.connect(to: SocketAddress(ip, portNumber: number))
            var entries = [pollfd(fd: client.number, events: Int16(POLLOUT), revents: 0)]
            #expect(try poll(&entries, until: .now + .seconds(5)))
            #expect(client.pendingError == 0)
            #expect(try client.send([1]) == 1)
            try client.setOption(Int32(IPPROTO_TCP), TCP_NODELAY, 1 as Int32)
            #expect(client.option(Int32(IPPROTO_TCP), TCP_NODELAY, 0 as Int32) == 1)
        }
    }

    @Test func addressesAreWhatTheyWereMadeOf() throws {
        for text in ["192.0.2.7", "2001:db8::5"] {
            let ip = try IPAddress(parsing: text)
            let address = SocketAddress(ip, portNumber: 80)
            #expect(address.ip == ip)
            #expect(address.text == text)
        }
        #expect(try SocketAddress(unix: "/x").ip == nil)
        _ = try SocketAddress(unix: String(repeating: "p", count: 107))
        for length in [108, 10_000] {
            #expect { try SocketAddress(unix: String(repeating: "p", count: length)) } throws: {
                ($0 as? SystemFailure)?.code == ENAMETOOLONG
            }
        }
    }

    @Test func looksNamesUp() throws {
        #expect(try addresses(of: "127.0.0.1").map(\.ip) == [try IPAddress(parsing: "127.0.0.1")])
        #expect(try addresses(of: "::1", isDatagram: true).map(\.text) == ["::1"])
        #expect(throws: LookUpFailure.self) { try addresses(of: "no-such-host.invalid") }
    }

    @Test func pollingEndsWithItsDeadline() throws {
        let (output, input) = try Descriptor.pipe()
        defer { withExtendedLifetime(input) {} }
        var entries = [pollfd(fd: output.number, events: Int16(POLLIN), revents: 0)]
        let begin = ContinuousClock.now
        #expect(try !poll(&entries, until: begin + .milliseconds(50)))
        #expect(ContinuousClock.now - begin >= .milliseconds(50))
        #expect(try !poll(&entries, until: begin), "one that has passed is one look")
    }
}
