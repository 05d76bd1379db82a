import Foundation
import Glibc
import NetworkTypes
import Sodium
import Testing

@testable import SSH

/// Servers that send what nobody asked for, for as long as they are let: paramiko's, whose packets can be made by hand.
struct FloodKernelTests {
    enum Flood: String, CaseIterable, Sendable {
        /// Answers to questions that were not asked, which libssh2 keeps: long, and as short as may be.
        case answers, shortAnswers
        /// What it throws away.
        case ignored
    }

    @Test(arguments: Flood.allCases) func aFloodIsEndedBeforeItIsKept(flood: Flood) async throws {
        let namespace = try Namespace()
        let folder = NSTemporaryDirectory() + namespace.name
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        try Self.server.write(toFile: folder + "/server.py", atomically: false, encoding: .utf8)
        let log = open(folder + "/log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        let server = try Spawned(
            "/usr/sbin/ip", ["netns", "exec", namespace.name, "/usr/bin/python3", folder + "/server.py", flood.rawValue],
            output: log)
        close(log)
        Leftovers.add(namespace.name + "/flood") {
            kill(server.pid, SIGKILL)
            server.wait()
            try? FileManager.default.removeItem(atPath: folder)
        }
        defer { Leftovers.undo(namespace.name + "/flood") }
        func logged() -> String { (try? String(contentsOfFile: folder + "/log", encoding: .utf8)) ?? "" }
        for _ in 0..<500 where !logged().contains("listening") { usleep(20000) }

        let connection = try await SSHConnection.connect(
            to: HostAddress(parsing: "127.0.0.1"), port: Port(2222),
            credentials: SSHCredentials(user: "root", privateKey: nil, password: SecretBytes(copying: [65])),
            hostKeyPolicy: .insecureAcceptAny, timeouts: SSHTimeouts(connect: .seconds(20)), socket: namespace.socket)
        let before = try resident()
        let error = await #expect(throws: SSHError.self) {
            try await connection.execute("true", limits: ExecLimits(timeout: .seconds(60)))
        }
        guard case .excess(during: .running(command: "true"), _) = error?.reason else {
            Issue.record("\(String(describing: error)); the server: \(logged())")
            return
        }
        #expect(try resident() - before < 8 << 10)
        #expect(!connection.isAlive)
    }

    /// KiB.
    private func resident() throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        return Int(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }?.filter(\.isNumber) ?? "") ?? 0
    }

    /// 81 is SSH_MSG_REQUEST_SUCCESS, 2 SSH_MSG_IGNORE (RFC 4254, section 9; RFC 4253, section 12).
    private static let server = """
        import paramiko, socket, sys, threading
        kind, length = {"answers": (81, 30000), "shortAnswers": (81, 0), "ignored": (2, 30000)}[sys.argv[1]]
        class Server(paramiko.ServerInterface):
            def check_auth_password(self, user, password): return paramiko.AUTH_SUCCESSFUL
            def get_allowed_auths(self, user): return "password"
            def check_channel_request(self, kind, number): return paramiko.OPEN_SUCCEEDED
            def check_channel_exec_request(self, channel, command):
                threading.Thread(target=flood, args=(channel.get_transport(),)).start()
                return True
        def flood(transport):
            while transport.is_active():
                message = paramiko.Message()
                message.add_byte(bytes([kind]))
                if length: message.add_string(b"x" * length)
                transport._send_message(message)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 2222))
        listener.listen()
        print("listening", flush=True)
        transport = paramiko.Transport(listener.accept()[0])
        transport.add_server_key(paramiko.ECDSAKey.generate(bits=256))
        transport.start_server(server=Server())
        threading.Event().wait()
        """
}
