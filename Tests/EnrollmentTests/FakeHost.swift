import Fixtures
import Logging
import NetworkTypes
import NodeDocument
import Sodium
import Synchronization

@testable import Enrollment
@testable import SSH

/// A host that answers a session's commands as it is told, in turn.
final class FakeHost: Sendable {
    enum Answer: Sendable {
        case report(AgentReport)
        case ended(status: Int32?, signal: String? = nil, output: String = "", error: String = "")
        case fails(SSHError.Reason)
    }

    struct Command: Equatable, Sendable {
        /// `apply`, `install-envoy`, `teardown`, `install` for the push of the agent, or `probe` for the question how to be root.
        var word: String
        var input: [UInt8]
    }

    private struct State {
        var answers: [Answer]
        var commands: [Command] = []
        var texts: [String] = []
        var connections = 0
        var closed = 0
        var isAlive = true
        var onEnd: [@Sendable () async -> Void] = []
        var refusals: [SSHError.Reason] = []
    }

    private let state: Mutex<State>
    private let host: HostAddress

    init(_ answers: Answer...) throws {
        state = Mutex(State(answers: answers))
        host = try HostAddress(parsing: "203.0.113.10")
    }

    var commands: [Command] { state.withLock { $0.commands } }
    var words: [String] { commands.map(\.word) }
    /// The commands as the far side's shell sees them.
    var texts: [String] { state.withLock { $0.texts } }
    var connections: Int { state.withLock { $0.connections } }
    var closed: Int { state.withLock { $0.closed } }

    func answer(_ answers: Answer...) { state.withLock { $0.answers += answers } }
    /// The kept connection is found dead before the next command.
    func die() { state.withLock { $0.isAlive = false } }
    /// The connections so far tell that they are no more.
    func tellEnd() async {
        for body in state.withLock({ $0.onEnd }) { await body() }
    }
    func refuse(_ reason: SSHError.Reason) { state.withLock { $0.refusals.append(reason) } }

    func session(
        bundle: AgentBundle, envoy: EnvoySource, user: String = "root", sudoPassword: SecretBytes? = nil,
        onLoss: @escaping @Sendable () -> Void = {}
    ) throws -> NodeSession {
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let login = NodeLogin(host: host, user: user, sudoPassword: sudoPassword)
        return NodeSession(login: login, bundle: bundle, envoy: envoy, logger: quiet, onLoss: onLoss) {
            () throws(SSHError) in try self.connect()
        }
    }

    private func error(_ reason: SSHError.Reason) -> SSHError {
        SSHError(user: "root", host: host, port: .ssh, reason: reason)
    }

    private func connect() throws(SSHError) -> NodeChannel {
        let refusal = state.withLock { state in
            state.connections += 1
            state.isAlive = true
            return state.refusals.isEmpty ? nil : state.refusals.removeFirst()
        }
        if let refusal { throw error(refusal) }
        return NodeChannel(
            execute: { command, input throws(SSHError) in try self.execute(command, input) },
            isAlive: { self.state.withLock { $0.isAlive } },
            statistics: {
                var statistics = SSHStatistics()
                statistics.execs = 1
                return statistics
            },
            onEnd: { body in self.state.withLock { $0.onEnd.append(body) } },
            close: { self.state.withLock { $0.closed += 1 } })
    }

    private func execute(_ command: RemoteCommand, _ input: ByteSource) throws(SSHError) -> ExecResult {
        let text = "\(command)"
        let word =
            text.contains("exit 65")
            ? "install"
            : text.contains("echo free")
                ? "probe" : text.split(separator: " ").last.map { String($0.filter { $0 != "'" }) } ?? ""
        let bytes = Self.contents(input)
        let answer = state.withLock { state in
            state.commands.append(Command(word: word, input: bytes))
            state.texts.append(text)
            return state.answers.isEmpty
                ? Answer.ended(status: 99, error: "not told what to answer") : state.answers.removeFirst()
        }
        switch answer {
        case .report(let report):
            let json = (try? DocumentJSON.encode(report)) ?? []
            return ExecResult(
                status: 0, signal: nil, standardOutput: json + [0x0A], standardError: [], inputBytesSent: bytes.count)
        case .ended(let status, let signal, let output, let error):
            return ExecResult(
                status: status, signal: signal, standardOutput: Array(output.utf8), standardError: Array(error.utf8),
                inputBytesSent: bytes.count)
        case .fails(let reason): throw error(reason)
        }
    }

    private static func contents(_ source: ByteSource) -> [UInt8] {
        var reader = ByteSourceReader(source)
        var result: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = buffer.withUnsafeMutableBytes { (try? reader.read(into: $0)) ?? 0 }
            if count == 0 { return result }
            result += buffer[..<count]
        }
    }
}
