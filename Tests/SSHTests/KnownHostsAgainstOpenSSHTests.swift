import Foundation
import NetworkTypes
import TestPrograms
import Testing

@testable import SSH

/// What `ssh-keygen -F` finds in a file is what ours finds.
struct KnownHostsAgainstOpenSSHTests {
    /// The lines ssh-keygen finds for a host, without those that only mark authorities.
    private func found(_ name: String, in file: String) throws -> [Int] {
        let output = try ProgramRun("/usr/bin/ssh-keygen", ["-F", name, "-f", file]).output
        return output.split(separator: "\n").compactMap { line in
            guard line.hasPrefix("# Host"), line.contains(" found: line "), !line.hasSuffix("CA") else { return nil }
            return line.split(separator: " ").compactMap { Int($0) }.last
        }
    }

    /// The lines of ours that match a host, learned from verdicts on each line's own key.
    private func ours(_ host: String, _ port: Int, in file: String) throws -> [Int] {
        let address = try HostAddress(parsing: host)
        let number = try Port(port)
        var lines: [Int] = []
        for (index, line) in file.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            // One line at a time: in a whole file one verdict hides another.
            let known = try KnownHosts(parsing: String(line))
            guard let text = line.split(separator: " ").last(where: { $0.hasPrefix("AAAA") }),
                let blob = decodeBase64(String(text)), let key = HostKey(blob: blob)
            else { continue }
            if known.check(host: address, port: number, key: key) != .unknown { lines.append(index + 1) }
        }
        return lines
    }

    @Test func everyKindOfLineIsFoundAlike() throws {
        let folder = try ScratchFolder()
        let key = SampleKeys.ed25519
        let plain = """
            # A comment, then lines of every kind
            example.com \(key)
            example.com,192.0.2.7 \(SampleKeys.ecdsa)
            *.example.com \(key)
            *.example.com,!secret.example.com \(key)
            !secret.example.com \(key)
            192.0.2.? \(key)
            [example.com]:2222 \(key)
            [*.example.com]:2222 \(key)
            [192.0.2.*]:* \(key)
            2001:db8::1 \(key)
            [2001:db8::1]:2222 \(key)
            @revoked bad.example.com \(key)
            @cert-authority *.example.com \(key)
            WWW.Example.COM \(key)
            * \(SampleKeys.otherEd25519)
            """
        // Hashed by OpenSSH itself, behind the plain lines.
        let toHash = ["hashed.example.com", "[hashed.example.com]:2222", "192.0.2.99"].map { "\($0) \(key)\n" }.joined()
        let hashedPath = try folder.write(toHash, to: "hashed")
        #expect(try ProgramRun("/usr/bin/ssh-keygen", ["-H", "-f", hashedPath]).status == 0)
        let hashed = try String(contentsOfFile: hashedPath, encoding: .utf8)
        #expect(hashed.hasPrefix("|1|"))
        let file = plain + "\n" + hashed
        let path = try folder.write(file, to: "known_hosts")

        var found = 0
        for host in [
            "example.com", "www.example.com", "secret.example.com", "bad.example.com", "a.b.example.com", "192.0.2.7",
            "192.0.2.77", "192.0.2.99", "2001:db8::1", "2001:db8::2", "hashed.example.com", "x",
        ] {
            for port in [22, 2222, 443] {
                let name = port == 22 ? host : "[\(host)]:\(port)"
                let theirs = try self.found(name, in: path)
                #expect(try ours(host, port, in: file) == theirs, "\(name)")
                found += theirs.count
            }
        }
        #expect(found > 40)
    }
}
