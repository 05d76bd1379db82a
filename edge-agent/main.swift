import Glibc
import Logging
import NodeAgent
import NodeDocument
import StructuredLogging

/// Bytes that a document may have; one of 10,000 bindings has some 30 MB.
let documentLimit = 256 << 20

let usage = """
    usage: edge-agent COMMAND

      apply          make this host what the document on standard input says
      status         say what this host is, and change nothing
      boot           put back what a reboot forgets, from the stored document
      teardown       remove everything of Tidegate from this host; with an owner on standard input, only if it is that owner's.
                     Run by hand it frees the host for another owner.
      install-envoy  take an Envoy from standard input: a line of JSON, then the program
      install-link   take a link program from standard input: a line of JSON, then the program by gzip
      run-envoy      what tidegate-envoy.service runs: start Envoy, and again when it dies
      probe-uplinks  what run-envoy starts beside Envoy: ask the uplinks, and tell Envoy which are well
      run-link       what tidegate-link.service runs: start the link program, and again when it dies
      run-wireguard  what tidegate-wireguard.service runs: become the newer of our wireguard-go and the host's
      keep-envoy, keep-link, keep-wireguard
                     what starts them again on a host without systemd
      restart-envoy  have it hand over to a new Envoy, as systemctl reload tidegate-envoy does
      version        print the build

    Each but the last nine prints one JSON report. LOG_LEVEL and LOG_FORMAT set what is said on standard error.

    """

/// A cut SSH connection must not stop an apply half-way.
signal(SIGPIPE, SIG_IGN)
signal(SIGHUP, SIG_IGN)
umask(0o077)
// It holds the relay's key and those of TLS bindings.
forbidDumps()
raiseOpenFiles()

func environment(_ names: [String]) -> [String: String] {
    var values: [String: String] = [:]
    for name in names { if let value = getenv(name) { values[name] = String(cString: value) } }
    return values
}

func finish(_ report: AgentReport) -> Never {
    do {
        let line = try jsonLine(report)
        try writeOutput(line)
        exit(0)
    } catch {
        finish(failing: "\(error)")
    }
}

func finish(failing message: String, status: Int32 = 1) -> Never {
    writeComplaint("edge-agent: \(message)")
    exit(status)
}

StructuredLogHandler.bootstrap(environment: environment(["LOG_FORMAT", "LOG_LEVEL"]))
let paths = HostPaths()
let arguments = Array(CommandLine.arguments.dropFirst())
guard arguments.count == 1, let command = arguments.first else { finish(failing: "want one command\n\n\(usage)", status: 64) }
if command == "version" {
    print(AgentBuild.current(paths))
    exit(0)
}
let agent = Agent(host: .live(paths: paths, logger: Logger(label: "edge-agent")))
// What the controller calls, and a person at a terminal does not.
if ["apply", "install-envoy", "install-link", "teardown"].contains(command), isatty(STDIN_FILENO) != 1 {
    CallingConnection.boundSilence()
}
switch command {
case "status": finish(agent.status())
case "boot":
    let report = agent.boot()
    if report.outcome == .refused { finish(failing: report.problems.map(\.message).joined(separator: "; ")) }
    finish(report)
case "apply": finish(agent.apply(readInput(limit: documentLimit)))
case "teardown": finish(agent.teardown(isatty(STDIN_FILENO) == 1 ? [] : readInput(limit: 1 << 20)))
case "run-envoy":
    do throws(AgentError) {
        var run = RunEnvoy(host: .live(paths: paths, logger: Logger(label: "run-envoy")))
        try run.run()
        exit(0)
    } catch {
        finish(failing: error.message)
    }
case "run-link":
    do throws(AgentError) {
        var run = RunLink(host: .live(paths: paths, logger: Logger(label: command)))
        try run.run()
        exit(0)
    } catch {
        finish(failing: error.message)
    }
case "probe-uplinks":
    do throws(AgentError) {
        var prober = RunProber(logger: Logger(label: command))
        try prober.run()
        exit(0)
    } catch {
        finish(failing: error.message)
    }
case "run-wireguard":
    let error = agent.runWireGuard()
    finish(failing: error.message)
case "keep-envoy", "keep-link", "keep-wireguard":
    do throws(AgentError) {
        let host = Host.live(paths: paths, logger: Logger(label: command))
        guard let unit = UnitName.allCases.last(where: { $0.keeperVerb == command }) else { exit(64) }
        try Keeper(host: host, unit: unit).run()
        exit(0)
    } catch {
        finish(failing: error.message)
    }
case "restart-envoy":
    do throws(AgentError) {
        print(try agent.restartEnvoy())
        exit(0)
    } catch {
        finish(failing: error.message)
    }
case "install-envoy": finish(agent.installEnvoy(STDIN_FILENO))
case "install-link": finish(agent.installLink(STDIN_FILENO))
default: finish(failing: "\(command.debugDescription) is no command\n\n\(usage)", status: 64)
}

func readInput(limit: Int) -> [UInt8] {
    do {
        return try readStandardInput(limit: limit)
    } catch {
        finish(AgentReport(outcome: .refused, agentBuild: AgentBuild.current(paths), problems: [error.problem]))
    }
}
