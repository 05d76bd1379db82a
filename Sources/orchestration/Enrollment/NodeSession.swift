public import Logging
import NetworkTypes
public import NodeDocument
public import SSH
import Sodium

/// One VPS: a kept SSH connection, and the agent's protocol over it.
///
/// Every call may be repeated, and ends: each step on the host has a deadline of its own, whatever the host goes on saying. A reconcile
/// with nothing to do is one exec on the kept connection.
public actor NodeSession {
    let login: NodeLogin
    var host: HostAddress { login.host }
    let bundle: AgentBundle
    let envoy: EnvoySource
    let logger: Logger
    private let patience: Duration
    private let connect: @Sendable () async throws(SSHError) -> NodeChannel
    private let onLoss: @Sendable () -> Void
    private var connection: NodeChannel?
    /// Counts connections, so that the end of a former one is not taken for that of `connection`.
    private var generation = 0
    private var isRunning = false
    /// On `connection`.
    private var elevation = Elevation.none
    /// On `connection` the login was seen to run what it is asked to.
    private var isProven = false
    /// Of the last document that was applied: its Envoy is there, and its bindings may still be reported on.
    private var applied: (version: String, bounds: ReportBounds)?
    private var past = SSHStatistics()
    /// A VPS may say for ever that it lacks what it got.
    private var pushes = Pace(burst: 8, interval: .seconds(600), now: .now)

    /// - Parameter onLoss: called when the VPS ends the kept connection, or is gone, while nothing runs on it.
    public init(
        target: NodeTarget, bundle: AgentBundle, envoy: EnvoySource, logger: Logger, onLoss: @escaping @Sendable () -> Void = {}
    ) {
        self.init(
            login: target.login, bundle: bundle, envoy: envoy, logger: logger, patience: target.timeouts.connect, onLoss: onLoss
        ) { () throws(SSHError) in
            NodeChannel(
                try await SSHConnection.connect(
                    to: target.host, port: target.port, credentials: target.credentials, hostKeyPolicy: target.hostKeyPolicy,
                    timeouts: target.timeouts))
        }
    }

    /// - Parameter patience: how long a login may take to its first command.
    init(
        login: NodeLogin, bundle: AgentBundle, envoy: EnvoySource, logger: Logger, patience: Duration = .seconds(30),
        onLoss: @escaping @Sendable () -> Void = {}, connect: @escaping @Sendable () async throws(SSHError) -> NodeChannel
    ) {
        self.login = login
        self.bundle = bundle
        self.envoy = envoy
        self.logger = logger
        self.patience = patience
        self.onLoss = onLoss
        self.connect = connect
    }

    /// Makes the VPS what `document` says, pushing the agent and Envoy when it lacks them.
    /// - Returns: the report; its outcome is `applied`, or `needsSecrets`.
    public func apply(_ document: RelayDocument) async throws(EnrollmentError) -> AgentReport {
        let input = try secretJSON(document)
        let bounds = ReportBounds(of: document.content)
        let version = document.content.envoy.release.version
        let step = AgentStep(
            verb: .apply, input: input, bounds: applied.map { bounds.widened(by: $0.bounds) } ?? bounds,
            patience: StepTime.apply(downloads: envoy.isDownloaded && applied?.version != version))
        var report = try await running(step)
        if report.outcome == .needsEnvoy {
            try await pushEnvoy(version: version)
            report = try decode(try await run(step.order), step.bounds)
        }
        if report.outcome == .needsLink {
            try await pushLink()
            report = try decode(try await run(step.order), step.bounds)
        }
        switch report.outcome {
        case .applied:
            applied = (version, bounds)
            report.sshHostKey = connection?.hostKey.map(\.text)
            return report
        case .needsSecrets
        where !Set(report.missingSecrets ?? []).isDisjoint(with: document.content.envoy.keptCertificates):
            return report
        case .refused: throw refusal(report)
        case .needsSecrets, .needsAgent, .needsEnvoy, .needsLink, .observed:
            throw EnrollmentError(
                reason: .agentFailed,
                message: "\(host): the agent still answers \(report.outcome.rawValue) after it got what it asked for",
                followUp: .retry)
        }
    }

    /// Removes all of ours from the VPS.
    /// - Returns: nil where the host said that there is nothing of ours.
    public func teardown(_ request: TeardownRequest) async throws(EnrollmentError) -> AgentReport? {
        let step = AgentStep(
            verb: .teardown, input: try secretJSON(request), bounds: .ofTeardown, patience: StepTime.teardown)
        let answer = try await run(step.order)
        if answer.status == 0, answer.isLine(NodeCommand.absent) { return nil }
        let report = try await report(answer, of: step)
        if report.outcome == .refused { throw refusal(report) }
        return report
    }

    public func close() async { await drop() }

    /// Execs, round trips and bytes since the session began, over all its connections.
    public var statistics: SSHStatistics { connection.map { past + $0.statistics() } ?? past }

    /// Counts a push that is about to be.
    /// - Parameter what: what it pushes, for the message.
    func countPush(of what: String, _ reason: EnrollmentError.Reason) throws(EnrollmentError) {
        guard let wait = pushes.wait(now: .now) else { return }
        throw EnrollmentError(
            reason: reason,
            message:
                "\(host): the VPS lacks \(what) again and again, and what is pushed does not stay or never arrives whole: see its disk "
                + "(df, mount), its line, and whether something there removes files of Tidegate; the next push may be in "
                + "\(wait.components.seconds / 60 + 1) min", followUp: .retry)
    }

    // MARK: commands

    /// Runs a command as root on the kept connection, or on a new one; tries once more when the kept one turns out to be dead, or
    /// sudo to have changed its mind.
    func run(_ order: HostOrder) async throws(EnrollmentError) -> ShellAnswer {
        let isKept = connection?.isAlive() == true
        do throws(Obstacle) {
            let answer = try await attempt(order)
            guard isKept, elevation.isRefused(answer) else { return answer }
            await drop()
        } catch {
            await drop()
            guard isKept, error.isLostConnection else { throw error.inOurTerms(doing: order.name) }
        }
        do throws(Obstacle) {
            return try await attempt(order)
        } catch {
            await drop()
            throw error.inOurTerms(doing: order.name)
        }
    }

    private func attempt(_ order: HostOrder) async throws(Obstacle) -> ShellAnswer {
        isRunning = true
        defer { isRunning = false }
        let channel = try await connected()
        let answer = try await exchange(order, as: elevation, on: channel)
        do throws(EnrollmentError) { try elevation.check(answer, login: login) } catch { throw .host(error) }
        return answer
    }

    private func connected() async throws(Obstacle) -> NodeChannel {
        if let connection, connection.isAlive() { return connection }
        await drop()
        logger.debug("connecting", metadata: ["host": "\(host)"])
        let new: NodeChannel
        do throws(SSHError) { new = try await connect() } catch { throw .connection(error) }
        connection = new
        generation += 1
        isProven = false
        elevation = .none
        new.onEnd { [weak self, generation] in await self?.ended(generation) }
        guard !login.isRoot else { return new }
        let password = login.sudoPassword
        let answer = try await exchange(
            HostOrder(name: "sudo", command: ElevationProbe.command, patience: StepTime.probe) { ElevationProbe.input(password) },
            as: .none, on: new)
        do throws(EnrollmentError) { elevation = try ElevationProbe.elevation(answer, login: login) } catch { throw .host(error) }
        return new
    }

    /// Sends nothing to a login that did not show on this connection that it runs what it is asked to, nor what is big or final.
    private func exchange(_ order: HostOrder, as elevation: Elevation, on channel: NodeChannel) async throws(Obstacle)
        -> ShellAnswer
    {
        let exchange = ShellExchange(order.command, elevation: elevation)
        let result: ExecResult
        do throws(SSHError) {
            result = try await channel.execute(
                ChannelCommand(
                    command: exchange.login, name: order.name, input: exchange.input(order.input()),
                    ready: isProven && !order.isWeighty ? nil : exchange.ready(within: patience),
                    limits: ExecLimits(output: order.outputBytes, timeout: order.patience)))
        } catch {
            if case .notReady(_, let after, let said) = error.reason {
                throw .host(LoginTrouble(login: login, words: said, ending: .waits(after)).error)
            }
            throw .connection(error)
        }
        let answer = exchange.answer(result)
        guard answer.hasShell else { throw .host(LoginTrouble(login: login, result: result).error) }
        isProven = true
        return answer
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

    private func secretJSON(_ value: some Encodable) throws(EnrollmentError) -> SecretBytes {
        do {
            return try DocumentJSON.encodeSecret(value)
        } catch {
            throw EnrollmentError(
                reason: .documentRefused, message: "the document cannot be written: \(error)", followUp: .stalled)
        }
    }
}

/// A command, what it reads, and what it may take.
struct HostOrder: Sendable {
    /// In errors: `apply`, `the push of Envoy`.
    var name: String
    var command: RemoteCommand
    var patience: Duration
    /// Bytes that it may print, what a login prints before it left aside.
    var outputBytes = 64 << 10
    /// What it reads is big, or what it does is final.
    var isWeighty = false
    /// Asked for anew with each try.
    var input: @Sendable () -> ByteSource
}

/// What one command takes to run on a channel.
struct ChannelCommand: Sendable {
    var command: RemoteCommand
    var name: String
    var input: ByteSource
    var ready: ReadyMark?
    var limits: ExecLimits
}

/// A connection as a session uses it: commands, one after the other.
struct NodeChannel: Sendable {
    /// What the host proved to hold, and was accepted; nil where no host is.
    var hostKey: HostKey?
    var execute: @Sendable (ChannelCommand) async throws(SSHError) -> ExecResult
    var isAlive: @Sendable () -> Bool
    var statistics: @Sendable () -> SSHStatistics
    var onEnd: @Sendable (@escaping @Sendable () async -> Void) -> Void
    var close: @Sendable () async -> Void
}

extension NodeChannel {
    init(_ connection: SSHConnection) {
        hostKey = connection.hostKey
        execute = { order throws(SSHError) in
            try await connection.execute(
                order.command, name: order.name, input: order.input, ready: order.ready, limits: order.limits)
        }
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
