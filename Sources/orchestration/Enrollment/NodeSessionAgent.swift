import Logging
import NetworkTypes
import NodeDocument
import SSH
import Sodium

/// One run of the agent, and again after it was pushed.
struct AgentStep: Sendable {
    enum Verb: String { case apply, teardown }

    let verb: Verb
    let input: SecretBytes
    let bounds: ReportBounds
    let patience: Duration

    var order: HostOrder {
        HostOrder(
            name: verb.rawValue, command: verb == .apply ? NodeCommand.apply : NodeCommand.teardown, patience: patience,
            outputBytes: bounds.bytes + (64 << 10), isWeighty: verb == .teardown
        ) { [input] in .secret(input) }
    }
}

/// How long each step on a host may take. A VPS that was taken over holds up a worker no longer than that.
enum StepTime {
    static let probe: Duration = .seconds(60)
    /// Waiting for the host's lock (20 s), for `envoy --mode validate` (60), for a restart (75), and the rest.
    static func apply(downloads: Bool) -> Duration { .seconds(180 + (downloads ? 620 : 0)) }
    static let teardown: Duration = .seconds(120)

    /// At 32 KiB/s at least, which a line of half a megabit has.
    static func push(bytes: Int) -> Duration { .seconds(60 + bytes / (32 << 10)) }
}

// What a host that lacks something is given, and what its answers mean.
extension NodeSession {
    /// Runs the agent, pushing it first where it is missing, another build, or broken.
    func running(_ step: AgentStep) async throws(EnrollmentError) -> AgentReport {
        try await report(try await run(step.order), of: step)
    }

    /// What the agent answered, or one that is pushed in its place.
    func report(_ answer: ShellAnswer, of step: AgentStep) async throws(EnrollmentError) -> AgentReport {
        if answer.hasBegun, !cannotRun(answer) {
            do throws(EnrollmentError) {
                let report = try decode(answer, step.bounds)
                // What another build did of a teardown is done.
                if step.verb == .teardown || report.outcome != .needsAgent && report.agentBuild == bundle.build { return report }
            } catch {
                guard isOfAnotherBuild(answer, step.bounds) else { throw error }
            }
        } else if !answer.hasBegun {
            throw noReport(answer, "it was not begun")
        }
        return try await pushAgent(thenRunning: step)
    }

    private func pushAgent(thenRunning step: AgentStep) async throws(EnrollmentError) -> AgentReport {
        try countPush(of: "the agent", .agentInstallFailed)
        logger.info("pushing the agent", metadata: ["build": "\(bundle.build)"])
        let length = bundle.blocks * AgentBundle.blockSize
        let pushed = try await run(
            HostOrder(
                name: "the push of the agent",
                command: step.verb == .apply ? NodeCommand.installAgentAndApply : NodeCommand.installAgentAndTearDown,
                patience: StepTime.push(bytes: length) + step.patience, outputBytes: step.order.outputBytes, isWeighty: true
            ) { [bundle] in .bytes(Array("\(bundle.blocks) \(bundle.sha256)\n".utf8)) + bundle.source + .secret(step.input) })
        let words = String(decoding: pushed.standardError.suffix(600), as: UTF8.self)
        if pushed.status == NodeCommand.hostIsUnfit, let sentence = words.split(separator: NodeCommand.unfitMark).last {
            throw EnrollmentError(
                reason: .unsupportedHost, message: "\(host): \(printable(String(sentence.filter { !$0.isNewline }), limit: 400))",
                followUp: .stalled)
        }
        if pushed.status != 0 {
            let words = printable(String(words.suffix(400)), limit: 400)
            throw EnrollmentError(
                reason: NodeCommand.meansDiskFull(words) ? .diskFull : .agentInstallFailed,
                message: "\(host): the agent could not be installed: \(words.isEmpty ? "the host said nothing" : words)",
                followUp: .retry)
        }
        return try decode(pushed, step.bounds)
    }

    /// Whether there is no agent, or one that does not start, as a push that was cut may leave it.
    private func cannotRun(_ answer: ShellAnswer) -> Bool {
        guard let status = answer.status else { return false }
        return NodeCommand.notFound.contains(status) || status > 128 && answer.report.isEmpty
    }

    /// Whether the report says so; the rest of it may then be in words that this controller does not know.
    private func isOfAnotherBuild(_ answer: ShellAnswer, _ bounds: ReportBounds) -> Bool {
        struct Identity: Decodable { var agentBuild: String }
        let bytes = answer.report
        guard (try? bounds.check(bytes)) != nil, let identity = try? DocumentJSON.decode(Identity.self, from: bytes) else {
            return false
        }
        return identity.agentBuild != bundle.build
    }

    func pushEnvoy(version: String) async throws(EnrollmentError) {
        guard case .file(let path, let length, let digest) = envoy else {
            throw EnrollmentError(
                reason: .envoyInstallFailed,
                message:
                    "\(host): the host could not download Envoy \(version); see the agent's problem, or give --envoy-source a file to push",
                followUp: .retry)
        }
        try countPush(of: "Envoy", .envoyInstallFailed)
        try await push(
            "Envoy", NodeCommand.installEnvoy, file: path, bytes: length, .envoyInstallFailed,
            header: EnvoyInstallHeader(version: version, sha256: digest, length: length))
    }

    func pushLink() async throws(EnrollmentError) {
        guard let link = bundle.link else {
            throw EnrollmentError(
                reason: .agentInstallFailed,
                message:
                    "\(host): spec.tunnel.carriers has links, and the file edge-link-x86_64 is not beside the agent's bundle here: add it, or "
                    + "name WireGuard alone", followUp: .stalled)
        }
        try countPush(of: "the link program", .agentInstallFailed)
        try await push(
            "the link program", NodeCommand.installLink, file: link.path, bytes: link.length, .agentInstallFailed,
            header: LinkInstallHeader(build: link.build, sha256: link.sha256, length: link.length))
    }

    /// A header's line, then a file by gzip.
    private func push(
        _ what: String, _ command: RemoteCommand, file path: String, bytes: Int, _ reason: EnrollmentError.Reason,
        header: some Encodable
    ) async throws(EnrollmentError) {
        var line: [UInt8]
        do {
            line = try DocumentJSON.encode(header)
        } catch {
            throw EnrollmentError(reason: reason, message: error.message, followUp: .stalled)
        }
        line.append(0x0A)
        let answer = try await run(
            HostOrder(
                name: "the push of \(what)", command: command, patience: StepTime.push(bytes: bytes),
                outputBytes: ReportBounds.ofTeardown.bytes, isWeighty: true
            ) { [line, logger, host] in
                let progress = PushProgress(of: what, to: "\(host)", bytes: bytes, logger: logger)
                return .bytes(line) + .compressedFile(path: path) { progress.came(to: $0) }
            })
        let report = try decode(answer, .ofTeardown)
        if report.outcome == .refused { throw refusal(report) }
    }

    // MARK: words

    func decode(_ answer: ShellAnswer, _ bounds: ReportBounds) throws(EnrollmentError) -> AgentReport {
        do {
            return try bounds.report(from: answer.report)
        } catch {
            throw noReport(answer, "\(error)")
        }
    }

    private func noReport(_ answer: ShellAnswer, _ why: String) -> EnrollmentError {
        let lines = [Array(answer.output.prefix(300)), Array(answer.standardError.suffix(400))].flatMap {
            String(decoding: $0, as: UTF8.self).split(whereSeparator: \.isNewline)
        }
        let words = plainSentence(lines.joined(separator: "; "), limit: 500)
        return EnrollmentError(
            reason: .agentFailed,
            message: "\(host): the agent gave no report (\(why)) and \(answer.ending)\(words.isEmpty ? "" : ": " + words)",
            followUp: .retry)
    }

    func refusal(_ report: AgentReport) -> EnrollmentError {
        // The cause comes last; what the agent met before and bore stands behind it.
        let problem = report.problems.last ?? AgentProblem(kind: .system, message: "the agent refused and gave no reason")
        let others = plainSentence(
            report.problems.dropLast().suffix(8).map(\.message).joined(separator: "; "), limit: 2000)
        let reason: EnrollmentError.Reason
        var followUp = FollowUp.retry
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
