public import Logging
import NetworkTypes
public import NodeDocument
public import SSH
import Sodium

/// One VPS: a kept SSH connection, and the agent's protocol over it.
///
/// Every call may be repeated. A reconcile with nothing to do is one exec on the kept connection.
public actor NodeSession {
    private let login: NodeLogin
    private var host: HostAddress { login.host }
    private let bundle: AgentBundle
    private let envoy: EnvoySource
    private let logger: Logger
    private let connect: @Sendable () async throws(SSHError) -> NodeChannel
    private let onLoss: @Sendable () -> Void
    private var connection: NodeChannel?
    /// Counts connections, so that the end of a former one is not taken for that of `connection`.
    private var generation = 0
    private var isRunning = false
    /// On `connection`.
    private var elevation = Elevation.none
    private var past = SSHStatistics()

    /// - Parameter onLoss: called when the VPS ends the kept connection, or is gone, while nothing runs on it.
    public init(
        target: NodeTarget, bundle: AgentBundle, envoy: EnvoySource, logger: Logger, onLoss: @escaping @Sendable () -> Void = {}
    ) {
        self.init(login: target.login, bundle: bundle, envoy: envoy, logger: logger, onLoss: onLoss) { () throws(SSHError) in
            NodeChannel(
                try await SSHConnection.connect(
                    to: target.host, port: target.port, credentials: target.credentials, hostKeyPolicy: target.hostKeyPolicy,
                    timeouts: target.timeouts))
        }
    }

    init(
        login: NodeLogin, bundle: AgentBundle, envoy: EnvoySource, logger: Logger, onLoss: @escaping @Sendable () -> Void = {},
        connect: @escaping @Sendable () async throws(SSHError) -> NodeChannel
    ) {
        self.login = login
        self.bundle = bundle
        self.envoy = envoy
        self.logger = logger
        self.onLoss = onLoss
        self.connect = connect
    }

    /// Makes the VPS what `document` says, pushing the agent and Envoy when it lacks them.
    /// - Returns: the report; its outcome is `applied`, or `needsSecrets`.
    public func apply(_ document: RelayDocument) async throws(EnrollmentError) -> AgentReport {
        let input = try secretJSON(document)
        var report = try await applyPushingAgent(input)
        if report.outcome == .needsEnvoy {
            try await pushEnvoy(version: document.content.envoy.release.version)
            report = try decode(try await run(NodeCommand.apply, .secret(input), doing: "apply"))
        }
        switch report.outcome {
        case .applied: return report
        case .needsSecrets
        where !Set(report.missingSecrets ?? []).isDisjoint(with: document.content.envoy.keptSecrets ?? []):
            return report
        case .refused: throw refusal(report)
        case .needsSecrets, .needsAgent, .needsEnvoy, .observed:
            throw EnrollmentError(
                reason: .agentFailed,
                message: "\(host): the agent still answers \(report.outcome.rawValue) after it got what it asked for",
                followUp: .retry)
        }
    }

    /// Removes all of ours from the VPS. A VPS without the agent has nothing of ours.
    public func teardown(_ request: TeardownRequest) async throws(EnrollmentError) -> AgentReport? {
        let input = try secretJSON(request)
        let result = try await run(NodeCommand.teardown, .secret(input), doing: "teardown")
        if let status = result.status, NodeCommand.notFound.contains(status) { return nil }
        let report = try decode(result)
        if report.outcome == .refused { throw refusal(report) }
        return report
    }

    public func close() async {
        guard let connection else { return }
        self.connection = nil
        await connection.close()
    }

    /// Execs, round trips and bytes since the session began, over all its connections.
    public var statistics: SSHStatistics { connection.map { past + $0.statistics() } ?? past }

    // MARK: steps

    private func applyPushingAgent(_ input: SecretBytes) async throws(EnrollmentError) -> AgentReport {
        let result = try await run(NodeCommand.apply, .secret(input), doing: "apply")
        if !cannotRun(result), !isOfAnotherBuild(result) {
            let report = try decode(result)
            if report.outcome != .needsAgent { return report }
        }
        logger.info("pushing the agent", metadata: ["build": "\(bundle.build)"])
        let header = ByteSource.bytes(Array("\(bundle.blocks) \(bundle.sha256)\n".utf8))
        let pushed = try await run(
            NodeCommand.installAgentAndApply, header + bundle.source + .secret(input), doing: "the push of the agent")
        let words = String(decoding: pushed.standardError.suffix(600), as: UTF8.self)
        if pushed.status == NodeCommand.hostIsUnfit, let sentence = words.split(separator: NodeCommand.unfitMark).last {
            throw EnrollmentError(
                reason: .unsupportedHost, message: "\(host): \(printable(String(sentence.filter { !$0.isNewline }), limit: 400))",
                followUp: .stalled)
        }
        if pushed.status == NodeCommand.installFailed || pushed.standardOutput.isEmpty {
            let words = printable(String(words.suffix(400)), limit: 400)
            throw EnrollmentError(
                reason: NodeCommand.meansDiskFull(words) ? .diskFull : .agentInstallFailed,
                message: "\(host): the agent could not be installed: \(words.isEmpty ? "the host said nothing" : words)",
                followUp: .retry)
        }
        return try decode(pushed)
    }

    /// Whether there is no agent, or one that does not start, as a push that was cut may leave it.
    private func cannotRun(_ result: ExecResult) -> Bool {
        guard let status = result.status else { return result.standardOutput.isEmpty }
        return NodeCommand.notFound.contains(status)
    }

    /// Whether the report says so; the rest of it may then be in words that this controller does not know.
    private func isOfAnotherBuild(_ result: ExecResult) -> Bool {
        struct Identity: Decodable { var agentBuild: String }
        guard let identity = try? DocumentJSON.decode(Identity.self, from: result.standardOutput) else { return false }
        return identity.agentBuild != bundle.build
    }

    private func pushEnvoy(version: String) async throws(EnrollmentError) {
        guard case .file(let path, let length, let digest) = envoy else {
            throw EnrollmentError(
                reason: .envoyInstallFailed,
                message:
                    "\(host): the host could not download Envoy \(version); see the agent's problem, or give --envoy-source a file to push",
                followUp: .retry)
        }
        logger.info("pushing Envoy", metadata: ["version": "\(version)", "bytes": "\(length)"])
        var header: [UInt8]
        do {
            header = try DocumentJSON.encode(EnvoyInstallHeader(version: version, sha256: digest, length: length))
        } catch {
            throw EnrollmentError(reason: .envoyInstallFailed, message: error.message, followUp: .stalled)
        }
        header.append(0x0A)
        let result = try await run(NodeCommand.installEnvoy, .bytes(header) + .file(path: path), doing: "the push of Envoy")
        let report = try decode(result)
        if report.outcome == .refused { throw refusal(report) }
    }

    /// Runs a command as root on the kept connection, or on a new one; tries once more when the kept one turns out to be dead, or
    /// sudo to have changed its mind.
    private func run(_ command: RemoteCommand, _ input: ByteSource, doing step: String) async throws(EnrollmentError)
        -> ExecResult
    {
        let isKept = connection?.isAlive() == true
        do throws(Obstacle) {
            let result = try await attempt(command, input)
            guard isKept, elevation.isRefused(result) else { return result }
            await drop()
        } catch {
            await drop()
            guard isKept, error.isLostConnection else { throw error.inOurTerms(doing: step) }
        }
        do throws(Obstacle) {
            return try await attempt(command, input)
        } catch {
            await drop()
            throw error.inOurTerms(doing: step)
        }
    }

    private func attempt(_ command: RemoteCommand, _ input: ByteSource) async throws(Obstacle) -> ExecResult {
        isRunning = true
        defer { isRunning = false }
        let channel = try await connected()
        let result: ExecResult
        do throws(SSHError) {
            result = try await channel.execute(elevation.command(command), elevation.input(input))
        } catch {
            throw .connection(error)
        }
        do throws(EnrollmentError) { try elevation.check(result, login: login) } catch { throw .host(error) }
        return result
    }

    private func connected() async throws(Obstacle) -> NodeChannel {
        if let connection, connection.isAlive() { return connection }
        await drop()
        logger.debug("connecting", metadata: ["host": "\(host)"])
        let new: NodeChannel
        let answer: ExecResult?
        do throws(SSHError) {
            new = try await connect()
            connection = new
            generation += 1
            new.onEnd { [weak self, generation] in await self?.ended(generation) }
            answer = login.isRoot ? nil : try await new.execute(ElevationProbe.command, ElevationProbe.input(login.sudoPassword))
        } catch {
            throw .connection(error)
        }
        elevation = .none
        do throws(EnrollmentError) {
            if let answer { elevation = try ElevationProbe.elevation(answer, login: login) }
        } catch {
            throw .host(error)
        }
        return new
    }

    /// A command that runs tells of the loss by its failure.
    private func ended(_ ending: Int) {
        guard connection != nil, ending == generation, !isRunning else { return }
        logger.debug("the connection ended", metadata: ["host": "\(host)"])
        onLoss()
    }

    private func drop() async {
        guard let connection else { return }
        self.connection = nil
        past = past + connection.statistics()
        await connection.close()
    }

    // MARK: words

    private func secretJSON(_ value: some Encodable) throws(EnrollmentError) -> SecretBytes {
        do {
            var bytes = try DocumentJSON.encode(value)
            return try SecretBytes(consuming: &bytes)
        } catch {
            throw EnrollmentError(
                reason: .documentRefused, message: "the document cannot be written: \(error)", followUp: .stalled)
        }
    }

    private func decode(_ result: ExecResult) throws(EnrollmentError) -> AgentReport {
        do {
            return try DocumentJSON.decode(AgentReport.self, from: result.standardOutput)
        } catch {
            let ending = result.signal.map { "was killed by SIG\($0)" } ?? "ended with status \(result.status ?? -1)"
            let words = printable(String(decoding: result.standardError.suffix(400), as: UTF8.self), limit: 400)
            throw EnrollmentError(
                reason: .agentFailed,
                message: "\(host): the agent gave no report (\(error)) and \(ending)\(words.isEmpty ? "" : ": " + words)",
                followUp: .retry)
        }
    }

    private func refusal(_ report: AgentReport) -> EnrollmentError {
        // The cause comes last; what the agent met before and bore stands behind it.
        let problem = report.problems.last ?? AgentProblem(kind: .system, message: "the agent refused and gave no reason")
        let others = report.problems.dropLast().map(\.message).joined(separator: "; ")
        let reason: EnrollmentError.Reason
        var followUp = EnrollmentError.FollowUp.retry
        switch problem.kind {
        case .foreignOwner: (reason, followUp) = (.foreignOwner, .stalled)
        case .staleEpoch: (reason, followUp) = (.staleEpoch, .stalled)
        case .unsupportedHost: (reason, followUp) = (.unsupportedHost, .stalled)
        case .badDocument: (reason, followUp) = (.documentRefused, .stalled)
        case .diskFull: reason = .diskFull
        case .busy: reason = .busy
        case .envoyInstall: reason = .envoyInstallFailed
        case .envoyRejected, .envoyNotRunning, .wireGuard, .network, .system: reason = .agentFailed
        }
        return EnrollmentError(
            reason: reason, message: "\(host): \(problem.message)" + (others.isEmpty ? "" : " (besides: \(others))"),
            followUp: followUp, epochSeen: reason == .staleEpoch ? report.epoch : nil)
    }
}

/// A connection as a session uses it: commands, one after the other.
struct NodeChannel: Sendable {
    var execute: @Sendable (RemoteCommand, ByteSource) async throws(SSHError) -> ExecResult
    var isAlive: @Sendable () -> Bool
    var statistics: @Sendable () -> SSHStatistics
    var onEnd: @Sendable (@escaping @Sendable () async -> Void) -> Void
    var close: @Sendable () async -> Void
}

extension NodeChannel {
    init(_ connection: SSHConnection) {
        execute = { command, input throws(SSHError) in try await connection.execute(command, input: input) }
        isAlive = { connection.isAlive }
        statistics = { connection.statistics }
        onEnd = { connection.onEnd($0) }
        close = { await connection.close() }
    }
}

extension SSHStatistics {
    fileprivate static func + (a: Self, b: Self) -> Self {
        var sum = a
        sum.execs += b.execs
        sum.bytesSent += b.bytesSent
        sum.bytesReceived += b.bytesReceived
        sum.roundTrips += b.roundTrips
        sum.execTime += b.execTime
        return sum
    }
}
