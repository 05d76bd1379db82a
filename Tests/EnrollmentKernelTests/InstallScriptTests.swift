import Foundation
import Sodium
import TestNetwork
import Testing

@testable import Enrollment

/// The command that installs the agent, run by real shells as root: Debian's with GNU's tools, and busybox alone in a root of its
/// own. /usr/local/lib is a file system of the test's in a mount namespace of its own.
@Suite struct InstallScriptTests {
    enum Host: String, CaseIterable, Sendable { case debian, busybox }

    private let folder: URL
    private let document = Array(#"{"format":1}"#.utf8) + [0x0A, 0x00, 0xFF]

    init() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("core-install-\(UUID().uuidString)")
        for name in ["before/tidegate", "after", "files"] {
            try FileManager.default.createDirectory(at: folder.appendingPathComponent(name), withIntermediateDirectories: true)
        }
    }

    private func write(_ text: String, to name: String, mode: Int = 0o644) throws {
        let file = folder.appendingPathComponent(name)
        try Data(text.utf8).write(to: file)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file.path)
    }

    /// A program that says who it is and keeps what it was sent.
    private func agent(_ name: String) -> String {
        "#!/bin/sh\ncat > /usr/local/lib/tidegate/received\necho \"$1 by \(name)\"\n"
    }

    private func installOldAgent() throws {
        try write(agent("old"), to: "before/tidegate/edge-agent", mode: 0o755)
        try write("old\n", to: "before/tidegate/BUILD")
        try write("old library\n", to: "before/tidegate/ld.so")
        try write("the proxy\n", to: "before/tidegate/envoy")
    }

    /// A bundle as deploy/agent/bundle packs it, but that its files belong to some user of the machine that built it.
    private func bundle(padding: Int = 0) throws -> AgentBundle {
        try write(agent("new"), to: "files/edge-agent", mode: 0o755)
        try write("new\n", to: "files/BUILD")
        try write("new library\n" + String(repeating: "\u{1}", count: padding), to: "files/ld.so")
        try run(
            "tar", "--create", "--gzip", "--owner=1234", "--group=1234", "--file=\(folder.path)/agent.tar.gz",
            "--directory=\(folder.path)/files",
            "BUILD", "edge-agent", "ld.so")
        try write("new\n", to: "agent.build")
        return try AgentBundle(path: folder.path + "/agent.tar.gz")
    }

    /// What is sent for a bundle.
    private func input(_ bundle: AgentBundle) throws -> [UInt8] {
        var bytes = [UInt8](try Data(contentsOf: folder.appendingPathComponent("agent.tar.gz")))
        bytes += [UInt8](repeating: 0, count: bundle.blocks * AgentBundle.blockSize - bytes.count)
        #expect(SHA256.digest(of: bytes) == bundle.sha256)
        return Array("\(bundle.blocks) \(bundle.sha256)\n".utf8) + bytes + document
    }

    private struct Ending {
        var status: String
        var output: String
        var error: String
    }

    /// - Parameter size: of the file system that /usr/local/lib is, as mount(8) takes it.
    /// - Parameter prepare: run first, with `$root` as the host's root.
    /// - Parameter end: run when all of the input was sent; until then it stays open.
    private func install(
        _ host: Host, _ input: [UInt8], size: String = "64m", prepare: String = "", by user: String = "", end: String = ":"
    ) throws -> Ending {
        try Data(input).write(to: folder.appendingPathComponent("input"))
        try write("\(NodeCommand.installAgentAndApply)", to: "script")
        let root =
            switch host {
            case .debian: "root=; enter=\"\(user)\"; mount -t tmpfs -o size=\(size) tmpfs /usr/local/lib"
            case .busybox:
                """
                mkdir root; mount -t tmpfs -o size=64m tmpfs root; root=$PWD/root; enter="\(user) chroot $root"
                mkdir -p root/bin root/dev root/usr/local/lib; mknod root/dev/null c 1 3; cp /usr/bin/busybox root/bin/
                chroot root /bin/busybox --install -s /bin; mount -t tmpfs -o size=\(size) tmpfs root/usr/local/lib
                """
            }
        try write(
            """
            set -eu; cd "$1"
            \(root)
            cp -a before/. "$root/usr/local/lib/"
            \(prepare)
            status=0
            { cat input; \(end); } | PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin $enter /bin/sh -c "$(cat script)" >output 2>error || status=$?
            echo $status >status
            cp -a "$root/usr/local/lib/." after/
            """, to: "harness")
        try run("unshare", "--mount", "sh", "\(folder.path)/harness", folder.path)
        func text(_ name: String) throws -> String {
            String(decoding: try Data(contentsOf: folder.appendingPathComponent(name)), as: UTF8.self)
        }
        return Ending(status: try text("status"), output: try text("output"), error: try text("error"))
    }

    private func installed(_ name: String) -> [UInt8]? {
        (try? Data(contentsOf: folder.appendingPathComponent("after/tidegate/\(name)"))).map { [UInt8]($0) }
    }

    /// As it was before, and nothing beside it.
    private func expectOldAgent() throws {
        for name in ["edge-agent", "BUILD", "ld.so", "envoy"] {
            #expect(
                installed(name) == [UInt8](try Data(contentsOf: folder.appendingPathComponent("before/tidegate/\(name)"))),
                "\(name)")
        }
        #expect(installed("received") == nil)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/after") == ["tidegate"])
    }

    private func cleanUp() { try? FileManager.default.removeItem(at: folder) }

    @Test(arguments: Host.allCases, [true, false]) func installsAndApplies(host: Host, hasOld: Bool) throws {
        defer { cleanUp() }
        if hasOld { try installOldAgent() }
        let ending = try install(host, input(bundle(padding: 3_000_000)))
        #expect(ending.status == "0\n")
        #expect(ending.output == "apply by new\n")
        #expect(ending.error == "")
        // To the byte: none of it was taken for the bundle, none of the bundle for it.
        #expect(installed("received") == document)
        #expect(installed("BUILD") == Array("new\n".utf8))
        #expect(installed("envoy") == (hasOld ? Array("the proxy\n".utf8) : nil))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/after") == ["tidegate"])
        // Whoever has that number on the VPS must not own root's programs.
        for name in ["edge-agent", "BUILD", "ld.so"] {
            let attributes = try FileManager.default.attributesOfItem(atPath: folder.path + "/after/tidegate/" + name)
            #expect(attributes[.ownerAccountID] as? Int == 0)
            #expect(attributes[.groupOwnerAccountID] as? Int == 0)
        }
    }

    /// SSH cut anywhere: the host sees end of file.
    @Test(arguments: Host.allCases) func leavesTheOldAgentWhenTheInputIsCut(host: Host) throws {
        defer { cleanUp() }
        try installOldAgent()
        let whole = try input(bundle())
        let header = try #require(whole.firstIndex(of: 0x0A))
        for length in [0, 1, header, header + 1, header + 1000, whole.count - document.count - 1] {
            let ending = try install(host, Array(whole.prefix(length)))
            #expect(ending.status == "65\n")
            #expect(ending.output == "")
            let words = length <= header ? "nothing arrived" : "the bundle arrived incomplete or altered"
            #expect(ending.error == "tidegate-install: \(words)\n", "cut at \(length)")
            try expectOldAgent()
            for name in ["after", "root"] { try? FileManager.default.removeItem(at: folder.appendingPathComponent(name)) }
            try FileManager.default.createDirectory(at: folder.appendingPathComponent("after"), withIntermediateDirectories: true)
        }
    }

    /// The controller died with its network: nothing comes any more, and nobody says that nothing will.
    @Test(arguments: [0, 100, 60_000]) func endsWithItsConnectionWhenNothingComes(length: Int) throws {
        defer { cleanUp() }
        try installOldAgent()
        // Half a minute is a second here. What stands for sshd tells that it was asked to end.
        let prepare = """
            mount -t tmpfs tmpfs /usr/local/bin
            printf '#!/bin/sh\\nexec /usr/bin/sleep 1\\n' > /usr/local/bin/sleep
            printf '#!/bin/sh\\ntrap "exit 99" TERM\\n"$@"\\n' > sshd-session
            chmod +x /usr/local/bin/sleep sshd-session
            """
        let sent = Array(try input(bundle(padding: 3_000_000)).prefix(length))
        let ending = try install(.debian, sent, prepare: prepare, by: "./sshd-session", end: "/usr/bin/sleep 6")
        #expect(ending.status == "99\n", "\(ending)")
        #expect(installed("edge-agent") == Array(agent("old").utf8))
        #expect(installed("received") == nil)
    }

    @Test(arguments: Host.allCases) func refusesAnAlteredBundle(host: Host) throws {
        defer { cleanUp() }
        try installOldAgent()
        var altered = try input(bundle())
        altered[200] ^= 1
        let ending = try install(host, altered)
        #expect(ending.status == "65\n")
        #expect(ending.error == "tidegate-install: the bundle arrived incomplete or altered\n")
        try expectOldAgent()
    }

    @Test(arguments: Host.allCases) func refusesWhatIsNoBundle(host: Host) throws {
        defer { cleanUp() }
        try installOldAgent()
        let garbage = [UInt8](repeating: 0x55, count: AgentBundle.blockSize)
        let ending = try install(host, Array("1 \(SHA256.digest(of: garbage))\n".utf8) + garbage + document)
        #expect(ending.status == "65\n")
        #expect(ending.error.hasPrefix("tidegate-install: cannot unpack the bundle: "))
        try expectOldAgent()
    }

    /// Full while the bundle is written, and full while it is unpacked; what was written is removed, so the disk is not left full.
    @Test(arguments: Host.allCases, [false, true]) func leavesTheOldAgentWhenTheDiskIsFull(host: Host, whileUnpacking: Bool)
        throws
    {
        defer { cleanUp() }
        try installOldAgent()
        var sent: [UInt8]
        if whileUnpacking {
            sent = try input(bundle(padding: 8_000_000))
        } else {
            let noise = (0..<(64 * AgentBundle.blockSize)).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 3) }
            sent = Array("64 \(SHA256.digest(of: noise))\n".utf8) + noise + document
        }
        let ending = try install(host, sent, size: "1m")
        #expect(ending.status == "65\n")
        let step = whileUnpacking ? "unpack" : "write"
        #expect(ending.error.hasPrefix("tidegate-install: cannot \(step) the bundle: "))
        #expect(NodeCommand.meansDiskFull(ending.error), "\(ending.error)")
        try expectOldAgent()
    }

    @Test func saysThatTheUserMustBeRoot() throws {
        defer { cleanUp() }
        try installOldAgent()
        let ending = try install(.debian, input(bundle()), by: "setpriv --reuid=65534 --regid=65534 --clear-groups")
        #expect(ending.status == "66\n")
        #expect(
            ending.error
                == "tidegate-unfit: the SSH user is not root: let root log in, or name a user with sudo in ssh.user\n")
        try expectOldAgent()
    }

    @Test func saysWhichToolIsMissing() throws {
        defer { cleanUp() }
        try installOldAgent()
        let allButOne = """
            mkdir tools; for tool in uname dd sha256sum tar mv sync id rm mkdir; do ln -s "$(command -v $tool)" tools/; done
            enter="env PATH=$PWD/tools"
            """
        let ending = try install(.debian, input(bundle()), prepare: allButOne)
        #expect(ending.status == "66\n")
        #expect(ending.error == "tidegate-unfit: the host has no gzip: install it\n")
        try expectOldAgent()
    }
}
