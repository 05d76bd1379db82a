import Logging
import NetworkTypes
public import NodeDocument

/// The commands of `edge-agent`. Each answers with a report, whatever happens.
public struct Agent: Sendable {
    let host: Host

    public init(host: Host) { self.host = host }

    /// Makes the host what a document says.
    /// - Parameter input: a `RelayDocument` as JSON.
    public func apply(_ input: [UInt8]) -> AgentReport {
        var report = AgentReport(outcome: .refused, agentBuild: host.build)
        do throws(AgentError) {
            switch try readDocument(input, build: host.build) {
            case .needsAgent(let build):
                host.logger.info("the document wants another build", metadata: ["wanted": "\(printable(build))"])
                report.outcome = .needsAgent
            case .document(let document):
                let lock = try HostLock(host.paths.lock)
                defer { withExtendedLifetime(lock) {} }
                var run = ApplyRun(host: host, document: document, input: input)
                do throws(AgentError) {
                    try run.run()
                    report = run.report
                } catch {
                    report = run.report
                    throw error
                }
            }
        } catch {
            refuse(&report, error)
        }
        return report
    }

    /// Puts back, without the controller, what a reboot forgets: the tunnel and the kernel's settings.
    /// - Returns: the report; a host without a document has nothing to do.
    public func boot() -> AgentReport {
        var report = AgentReport(outcome: .refused, agentBuild: host.build)
        do throws(AgentError) {
            let lock = try HostLock(host.paths.lock)
            defer { withExtendedLifetime(lock) {} }
            guard let document = try readJSON(RelayDocument.self, from: host.paths.document) else {
                report.outcome = .observed
                return report
            }
            var run = ApplyRun(host: host, document: document, input: [])
            do throws(AgentError) {
                try run.bootSteps()
                report = run.report
                // With systemd it is a unit of its own that follows.
                if !host.hasSystemd() {
                    if document.content.link != nil, try LinkProgram(paths: host.paths).installed() != nil {
                        try host.services.start(.link)
                    }
                    try host.services.start(.envoy)
                }
            } catch {
                report = run.report
                throw error
            }
        } catch {
            refuse(&report, error)
        }
        return report
    }

    func refuse(_ report: inout AgentReport, _ error: AgentError) {
        host.logger.error("refused", metadata: ["kind": "\(error.kind.rawValue)", "reason": "\(error.message)"])
        report.outcome = .refused
        report.problems.append(error.problem)
    }
}
