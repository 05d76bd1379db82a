import NetworkTypes
import NodeDocument
import Sodium
import Testing

@testable import LinkRelay

/// The link program reads what the agent writes, and nothing else.
@Suite struct LinkFileTests {
    private func bytes(_ file: LinkServiceFile) throws -> [UInt8] { try DocumentJSON.encode(file) }

    private func sample(path: String = "/a-\"secret\\path\"") throws -> LinkServiceFile {
        LinkServiceFile(
            uplinks: (0..<3).map {
                LinkedUplink(ordinal: $0, address: LinkedUplink.address(ofOrdinal: $0), pin: SHA256.digest(of: "\($0)"))
            },
            tcpPorts: [try Port(20_000), .uplinkReadiness], udpPorts: [try Port(20_001)], carriers: [.webSocket, .tls], path: path
        )
    }

    @Test func whatTheAgentWritesIsRead() throws {
        let written = try sample()
        #expect(written.fault == nil)
        let read = try LinkFile(bytes(written))
        #expect(read.uplinks.map(\.ordinal) == [0, 1, 2])
        #expect(read.uplinks.map(\.address) == written.uplinks.map(\.address))
        #expect(read.uplinks.map(\.pin) == written.uplinks.map(\.pin))
        #expect(read.tcpPorts == Set(written.tcpPorts) && read.udpPorts == Set(written.udpPorts))
        #expect(read.takesTLS && read.takesWebSockets && read.path == written.path)
        var one = written
        one.carriers = [.tls]
        #expect(try !LinkFile(bytes(one)).takesWebSockets && LinkFile(bytes(one)).socket == nil)
        one.carriers = [.ssh]
        one.socket = SSHWay.socket
        #expect(one.fault == nil)
        let bySSH = try LinkFile(bytes(one))
        #expect(!bySSH.takesTLS && !bySSH.takesWebSockets && bySSH.socket == SSHWay.socket)
        #expect(LinkService.door == LinkedUplink.door)
        #expect(read.udpSessionSeconds == [try Port(20_001): 60])
    }

    @Test func timesOfUDPSessionsFitTheirPorts() throws {
        var file = try sample()
        file.udpPorts = [try Port(53), try Port(443)]
        file.udpSessionSeconds = [5, 86_400]
        #expect(try LinkFile(bytes(file)).udpSessionSeconds == [Port(53): 5, Port(443): 86_400])
        file.udpSessionSeconds = [1, Int(Int64.max / 1_000_000_000)]
        #expect(try LinkFile(bytes(file)).udpSessionSeconds.count == 2, "the longest that the agent writes")
        for wrong in [[], [5], [5, 0], [5, -1], [5, .max], [1, 2, 3]] {
            file.udpSessionSeconds = wrong
            let written = try bytes(file)
            #expect(throws: LinkServiceError.self) { try LinkFile(written) }
        }
        // An agent that tells no times.
        let text = String(decoding: try bytes(sample()), as: UTF8.self)
        let older = text.replacing(#""udpSessionSeconds":[60],"#, with: "").replacing(#","udpSessionSeconds":[60]"#, with: "")
        #expect(older != text)
        #expect(try LinkFile(Array(older.utf8)).udpSessionSeconds.isEmpty)
    }

    @Test func ofTheLargestThatTheAgentWrites() throws {
        var file = try sample()
        file.uplinks = (0..<253).map {
            LinkedUplink(ordinal: $0, address: LinkedUplink.address(ofOrdinal: $0), pin: SHA256.digest(of: "\($0)"))
        }
        file.tcpPorts = try (20_000..<60_000).map { try Port($0) }
        #expect(try LinkFile(bytes(file)).tcpPorts.count == 40_000)
    }

    @Test func whatTheAgentWouldNotServeIsAFaultHereToo() throws {
        var twice = try sample()
        twice.uplinks[1].address = twice.uplinks[0].address
        var twins = try sample()
        twins.uplinks[1].pin = twins.uplinks[0].pin
        var stray = try sample()
        stray.uplinks[0].address = IPv4Address(number: 0x0A00_0001)
        var none = try sample()
        none.carriers = [.wireGuard]
        var nowhere = try sample()
        nowhere.carriers = [.ssh, .tls]
        var relative = nowhere
        relative.socket = "door.sock"
        for file in [
            twice, twins, stray, none, nowhere, relative, try sample(path: "secret"),
            try sample(path: "/" + String(repeating: "a", count: 1024)),
        ] {
            #expect(file.fault != nil)
            #expect(throws: LinkServiceError.self) { try LinkFile(bytes(file)) }
        }
    }

    @Test(
        arguments: [
            "", "{", "[]", "{}", "{}{}", "null", "\"", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "[1,]", "{\"uplinks\":[1]}",
            "{\"uplinks\":[],\"tcpPorts\":[0]}", "{\"uplinks\":[],\"tcpPorts\":[65536]}",
            "{\"uplinks\":[],\"tcpPorts\":[99999999999999999999]}", "{\"uplinks\":[],\"tcpPorts\":[],\"udpPorts\":[\"1\"]}",
            "{\"uplinks\":[],\"tcpPorts\":[],\"udpPorts\":[],\"carriers\":[\"TLS\"]}",
            "{\"uplinks\":[],\"tcpPorts\":[],\"udpPorts\":[],\"carriers\":[\"TLS\"],\"path\":\"/\\u0041\"}",
            String(repeating: "[", count: 100_000), "{\"path\":\"" + String(repeating: "a", count: 1 << 20) + "\"}",
        ])
    func anythingElseIsRefused(text: String) {
        #expect(throws: LinkServiceError.self) { try LinkFile(Array(text.utf8)) }
    }

    @Test func textsAreQuotedAsOthersReadThem() throws {
        let text = "a\"b\\c\u{1}é\n"
        #expect(try DocumentJSON.decode([String].self, from: Array("[\(JSONText.quoted(text))]".utf8)) == ["a\"b\\c é "])
    }
}
