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
        /// The command was run, with what the login prints around it.
        case ended(status: Int32?, signal: String? = nil, output: String = "", error: String = "")
        /// The shell was there, but what makes it root's ended it.
        case notBegun(status: Int32, error: String = "")
        /// Something else than our shell.
        case foreign(status: Int32?, output: String = "", error: String = "")
        case fails(SSHError.Reason)
    }

    struct Command: Equatable, Sendable {
        /// `apply`, `install-envoy`, `teardown`, `install` for the push of the agent that is to apply, `install-teardown`
        /// for that which is to tear down, or `probe` for the question how to be root.
        var word: String
        var input: [UInt8]
        /// Nothing was to be sent before the host showed that it runs what it is asked to.
        var isGated = false
    }

    private struct State {
        var answers: [Answer]
        var commands: [Command] = []
        var texts: [String] = []
        var limits: [ExecLimits] = []
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
    /// The scripts as the far side's shell gets them.
    var texts: [String] { state.withLock { $0.texts } }
    var limits: [ExecLimits] { state.withLock { $0.limits } }
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
            execute: { command throws(SSHError) in try self.execute(command) },
            isAlive: { self.state.withLock { $0.isAlive } },
            statistics: {
                var statistics = SSHStatistics()
                statistics.execs = 1
                return statistics
            },
            onEnd: { body in self.state.withLock { $0.onEnd.append(body) } },
            close: { self.state.withLock { $0.closed += 1 } })
    }

    /// What the login prints by itself, before and after.
    private static let noise = (before: "Welcome to vps01\n{\"ok\":true}", after: "bye\n")

    private func execute(_ command: ChannelCommand) throws(SSHError) -> ExecResult {
        let text = "\(command.command)"
        let nonce = String(text.split(separator: "tidegate-shell ", maxSplits: 1).last?.prefix(32) ?? "")
        let all = Self.contents(command.input)
        let run = all.firstRange(of: Array("\ntidegate-run\n".utf8)) ?? all.endIndex..<all.endIndex
        let script = String(decoding: all[..<run.lowerBound], as: UTF8.self)
        let bytes = Array(all[run.upperBound...])
        let word =
            script.contains("exit 65")
            ? script.contains("teardown 9") ? "install-teardown" : "install"
            : script.contains("echo free")
                ? "probe" : ["install-envoy", "teardown", "apply"].first { script.contains("edge-agent \($0)") } ?? ""
        let answer = state.withLock { state in
            state.commands.append(Command(word: word, input: bytes, isGated: command.ready != nil))
            state.texts.append(script)
            state.limits.append(command.limits)
            return state.answers.isEmpty
                ? Answer.ended(status: 99, error: "not told what to answer") : state.answers.removeFirst()
        }
        func result(_ status: Int32?, _ output: [UInt8], _ error: String = "", signal: String? = nil) -> ExecResult {
            ExecResult(
                status: status, signal: signal, standardOutput: output, standardError: Array(error.utf8),
                inputBytesSent: all.count)
        }
        let shell = Array("\(Self.noise.before)tidegate-shell \(nonce)\n".utf8)
        func framed(_ output: [UInt8], _ status: Int32?) -> [UInt8] {
            let end = status.map { "tidegate-end \(nonce) \($0)\n\(Self.noise.after)" } ?? ""
            return shell + Array("tidegate-begin \(nonce)\n".utf8) + output + Array(end.utf8)
        }
        switch answer {
        case .report(let report): return result(0, framed(((try? DocumentJSON.encode(report)) ?? []) + [0x0A], 0))
        case .ended(let status, let signal, let output, let error):
            return result(signal == nil ? 0 : nil, framed(Array(output.utf8), status), error, signal: signal)
        case .notBegun(let status, let error): return result(status, shell, error)
        case .foreign(let status, let output, let error): return result(status, Array(output.utf8), error)
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
