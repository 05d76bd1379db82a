import NetworkTypes
import Testing

@testable import SSH

struct SSHErrorTests {
    private func text(_ reason: SSHError.Reason, host: String = "203.0.113.5") throws -> String {
        try SSHError(user: "root", host: HostAddress(parsing: host), port: Port(2222), reason: reason).description
    }

    @Test func everyTextNamesTheServerAndTheCause() throws {
        let key = try hostKey(SampleKeys.ed25519)
        let pinned = try KnownHosts.PinnedKey(key: hostKey(SampleKeys.otherEd25519), line: 7)
        let rsaOnly = try KnownHosts.PinnedKey(key: hostKey(SampleKeys.ecdsa), line: 8)
        let attempt = SSHError.Attempt(address: "203.0.113.5", failure: "Connection refused")
        let cases: [(SSHError.Reason, [String])] = [
            (.nameUnresolvable("Name or service not known"), ["cannot be resolved", "Name or service not known"]),
            (.unreachable([.init(address: "203.0.113.5", failure: "No route to host")]), ["No route to host", "firewalls"]),
            (.refused([attempt]), ["203.0.113.5: Connection refused", "sshd"]),
            (.connectTimedOut(after: .seconds(30), []), ["within 30 s"]),
            (.handshakeTimedOut(after: .milliseconds(1500), heard: .nothing), ["said nothing within 1.5 s"]),
            (.handshakeTimedOut(after: .seconds(3), heard: .greeting), ["greeted"]),
            (.handshakeTimedOut(after: .seconds(3), heard: .keyExchange), ["key exchange"]),
            (.authenticationTimedOut(after: .seconds(3)), ["login", "3 s"]),
            (.notSSH("a web server"), ["no SSH server but a web server"]),
            (.notSSH(""), ["closed the connection before any greeting"]),
            (
                .noCommonAlgorithm(.hostKey, offered: ["rsa-sha2-512"], supported: ["ssh-ed25519"]),
                ["rsa-sha2-512", "ssh-keygen -A"]
            ),
            (
                .hostKeyUnknown(key, lineToAdd: "LINE", ignoredLines: [.init(line: 4, reason: "WHY")]),
                [key.fingerprint, "LINE", "line 4 is ignored: WHY"]
            ),
            (
                .hostKeyChanged(key, lineToAdd: "LINE", pinned: [pinned]),
                [key.fingerprint, pinned.key.fingerprint, "line 7", "in between", "known_hosts: LINE"]
            ),
            (
                .hostKeyChanged(key, lineToAdd: "LINE", pinned: [rsaOnly]),
                ["no key of type ssh-ed25519 is known", "add it: LINE"]
            ),
            (.hostKeyRevoked(key, line: 3), [key.fingerprint, "line 3"]),
            (
                .authenticationRefused(tried: ["publickey"], offered: ["password"], hints: ["HINT"]),
                ["tried publickey", "takes password", "HINT"]
            ),
            (.keyUnreadable("WHY"), ["WHY"]),
            (.connectionLost(during: .running(command: "cat"), "reset"), ["\"cat\"", "reset"]),
            (.idleTimedOut(during: .idle, after: .seconds(60)), ["60 s"]),
            (.commandTimedOut(command: "cat", after: .seconds(5)), ["\"cat\"", "5 s"]),
            (.channelRefused(command: "cat", "WHY"), ["\"cat\"", "WHY", "MaxSessions"]),
            (.outputTooLarge(command: "cat", limit: 10), ["\"cat\"", "10 bytes"]),
            (.inputFailed(command: "cat", "WHY"), ["\"cat\"", "WHY"]),
            (.cancelled(during: .connecting), ["cancelled while connecting"]),
            (.closed, ["closed"]),
            (.protocolFailure(during: .handshake, code: -8, "WORDS"), ["WORDS", "libssh2 -8"]),
            (.outOfResources("WHY"), ["WHY"]),
        ]
        for (reason, wanted) in cases {
            let text = try text(reason)
            #expect(text.hasPrefix("ssh root@203.0.113.5:2222: "))
            for words in wanted { #expect(text.contains(words), "\(text)") }
        }
        #expect(try text(.closed, host: "2001:db8::1").hasPrefix("ssh root@[2001:db8::1]:2222: "))
    }

    @Test func aCommandIsALiteral() {
        let command: RemoteCommand = "edge-agent apply"
        #expect("\(command)" == "edge-agent apply")
    }

    @Test func keepalivesFitIntoTheIdleTime() {
        #expect(SSHTimeouts().keepaliveSeconds == 15)
        #expect(SSHTimeouts(idle: .seconds(12)).keepaliveSeconds == 4)
        #expect(SSHTimeouts(idle: .seconds(1), keepalive: .seconds(1)).keepaliveSeconds == 2)
    }
}
