internal import FoundationEssentials
internal import Glibc
internal import Sodium
internal import Syscalls

extension ExecPlugin {
    /// Runs the program to its end: no shell, no standard input, its standard error into ours.
    ///
    /// Blocks its thread. What the program printed is kept in guarded memory only.
    /// - Parameter isStopped: asked a few times a second; the program is killed when it says yes.
    func run(
        environment: [String: String], authority: [UInt8]?, timeoutSeconds: Int, isStopped: () -> Bool
    ) throws(ExecProblem) -> ExecAnswer {
        var environment = environment
        for variable in self.environment { environment[variable.name] = variable.value }
        environment["KUBERNETES_EXEC_INFO"] = information(authority: authority)
        let (printed, process) = try start(environment: environment.map { "\($0.key)=\($0.value)" })
        var output: [UInt8] = []
        output.reserveCapacity(65536)
        defer { zero(&output) }
        let reading = Result { () throws(ExecProblem) in
            try read(from: printed, into: &output, timeoutSeconds: timeoutSeconds, isStopped: isStopped)
        }
        if case .failure = reading { kill(process, SIGKILL) }
        let ending = try? waitForEnd(of: process)
        try reading.get()
        if let ending, ending.status != 0 {
            throw ExecProblem(
                ending.signal != 0
                    ? "signal \(ending.signal) ended it"
                    : "it ended with status \(ending.exitCode); its own words are on standard error")
        }
        return try ExecAnswer(output, apiVersion: apiVersion)
    }

    private func read(
        from printed: Descriptor, into output: inout [UInt8], timeoutSeconds: Int, isStopped: () -> Bool
    ) throws(ExecProblem) {
        let end = ContinuousClock.now + .seconds(timeoutSeconds)
        var buffer = [UInt8](repeating: 0, count: 16384)
        defer { zero(&buffer) }
        while true {
            guard ContinuousClock.now < end else { throw ExecProblem("it did not end within \(timeoutSeconds) s and was killed") }
            guard !isStopped() else { throw ExecProblem("it was killed, for we are about to end") }
            let count: Int
            do throws(SystemFailure) {
                var entries = [pollfd(fd: printed.number, events: Int16(POLLIN), revents: 0)]
                guard try poll(&entries, until: .now + .milliseconds(200)) else { continue }
                count = try printed.read(into: &buffer)
            } catch {
                throw ExecProblem("reading what it prints: \(error.reason)")
            }
            if count == 0 { return }
            guard output.count + count <= 1 << 20 else { throw ExecProblem("it printed more than 1 MiB") }
            output += buffer[..<count]
        }
    }

    /// - Returns: what it prints, of which the child alone has the other end, and its number.
    private func start(environment: [String]) throws(ExecProblem) -> (printed: Descriptor, process: pid_t) {
        do throws(SystemFailure) {
            let (output, input) = try Descriptor.pipe()
            var spawn = Spawn(command, arguments, environment: environment)
            spawn.searchesPath = true
            spawn.output = input
            return (output, try spawn.start())
        } catch {
            let hint = error.code == ENOENT ? installHint.map { "; the kubeconfig's hint: \($0)" } ?? "" : ""
            throw ExecProblem("it cannot be started: \(error.reason)\(hint)")
        }
    }
}
