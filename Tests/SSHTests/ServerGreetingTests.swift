import Testing

@testable import SSH

struct ServerGreetingTests {
    private func kexInit(_ lists: [String]) -> [UInt8] {
        func string(_ bytes: [UInt8]) -> [UInt8] {
            [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: bytes.count >> $0) } + bytes
        }
        let body = [0, 20] + [UInt8](repeating: 7, count: 16) + lists.flatMap { string(Array($0.utf8)) }
        return string(body)
    }

    @Test func theOfferedAlgorithmsAreRead() {
        let packet = kexInit(["kex-a,kex-b", "ssh-rsa", "aes-in", "aes-out", "mac-in", "mac-out"])
        let greeting = ServerGreeting(reading: Array("A notice\r\nSSH-2.0-Test \u{1}\r\n".utf8) + packet)
        #expect(greeting.identification == "SSH-2.0-Test \\u{1}")
        #expect(greeting.service == "something else")
        #expect(
            greeting.proposal
                == .init(keyExchange: ["kex-a", "kex-b"], hostKey: ["ssh-rsa"], cipher: ["aes-in"], mac: ["mac-in"]))
    }

    @Test func aPartialGreetingIsNoProposal() {
        let whole = Array("SSH-2.0-Test\r\n".utf8) + kexInit(["a", "b", "c", "d", "e", "f"])
        for length in 0..<whole.count {
            #expect(ServerGreeting(reading: Array(whole.prefix(length))).proposal == nil)
        }
        #expect(ServerGreeting(reading: whole).proposal != nil)
        #expect(ServerGreeting(reading: Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)).identification == nil)
        #expect(ServerGreeting(reading: Array("SSH-2.0-x\r\n".utf8) + [0xFF, 0xFF, 0xFF, 0xFF, 1]).proposal == nil)
    }

    @Test func pinnedKeyTypesAreAskedForFirst() {
        let ours = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512"]
        #expect(Algorithms.order(ours, pinnedFirst: []) == ours)
        #expect(
            Algorithms.order(ours, pinnedFirst: ["ecdsa-sha2-nistp256"])
                == ["ecdsa-sha2-nistp256", "ssh-ed25519", "rsa-sha2-512"])
        #expect(Algorithms.order(ours, pinnedFirst: ["ssh-rsa"]).first == "rsa-sha2-512")
        #expect(Algorithms.order(ours, pinnedFirst: ["ssh-dss"]) == ours)
    }
}
