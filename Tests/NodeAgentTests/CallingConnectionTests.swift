import CLinuxHeaders
import Glibc
import Syscalls
import TestFiles
import Testing

@testable import NodeAgent

/// One after the other: a child that another test starts meanwhile would have the connection too.
@Suite(.serialized) struct CallingConnectionTests {
    /// Both ends of a TCP connection on this host.
    private static func connection() throws -> (Int32, Int32) {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let listener = socket(AF_INET, kind, 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let client = socket(AF_INET, kind, 0)
        try withUnsafeMutableBytes(of: &address) { bytes in
            let pointer = try #require(bytes.baseAddress).assumingMemoryBound(to: sockaddr.self)
            try #require(bind(listener, pointer, length) == 0 && listen(listener, 1) == 0)
            try #require(getsockname(listener, pointer, &length) == 0 && connect(client, pointer, length) == 0)
        }
        return (accept4(listener, nil, nil, Int32(SOCK_CLOEXEC.rawValue)), client)
    }

    /// What the kernel keeps of a connection that a process of this name has, once its command has seen to it.
    private func times(afterLookingAt name: String) throws -> [Int32?] {
        let folder = try TemporaryFolder()
        let (server, client) = try Self.connection()
        defer {
            close(server)
            close(client)
        }
        // A process is named as the path that it was started by.
        try folder.link(name, to: "/bin/sleep")
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, server, 5)
        var words: [UnsafeMutablePointer<CChar>?] = [strdup(name), strdup("60"), nil]
        defer { for word in words { free(word) } }
        var process: pid_t = 0
        try #require(posix_spawn(&process, folder(name), &actions, nil, &words, nil) == 0)
        defer {
            kill(process, SIGKILL)
            waitpid(process, nil, 0)
        }
        // It gets its name a moment after it began.
        while try readLine(of: "/proc/\(process)/comm") != name { usleep(1000) }
        CallingConnection.boundSilence(above: process)
        let tcp = Int32(IPPROTO_TCP)
        try #require(server >= 0)
        let socket = Descriptor(borrowing: server)
        return [socket.option(SOL_SOCKET, SO_KEEPALIVE, 0)]
            + [TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT].map { socket.option(tcp, $0, 0) }
    }

    @Test(arguments: ["sshd", "sshd-session", "dropbear"]) func connectionOfAServerIsWatched(name: String) throws {
        #expect(try times(afterLookingAt: name) == [1, 20, 10, 3, 50_000])
    }

    @Test(arguments: ["ssh", "sleep"]) func otherConnectionsAreLeftAlone(name: String) throws {
        let times = try times(afterLookingAt: name)
        #expect(times.first == 0 && times.last == 0, "\(times)")
    }

    @Test func noConnectionIsNoError() { CallingConnection.boundSilence(above: 1) }
}
