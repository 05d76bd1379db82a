import FoundationEssentials
import Glibc
import Sodium
import Syscalls

extension ExecPlugin {
    /// Bytes of what it prints.
    private static let limit = 1 << 20
    private static let tooMuch = ExecProblem("it printed more than 1 MiB")

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
        var finished = try finish(environment.map { "\($0.key)=\($0.value)" }, timeoutSeconds, isStopped)
        defer { zero(&finished.output) }
        guard finished.output.count <= Self.limit else { throw Self.tooMuch }
        let ending = finished.ending
        guard ending.status == 0 else {
            throw ExecProblem(
                ending.signal != 0
                    ? "signal \(ending.signal) ended it"
                    : "it ended with status \(ending.exitCode); its own words are on standard error")
        }
        return try ExecAnswer(finished.output, apiVersion: apiVersion)
    }

    private func finish(
        _ environment: [String], _ timeoutSeconds: Int, _ isStopped: () -> Bool
    ) throws(ExecProblem) -> Finished {
        var spawn = Spawn(command, arguments, environment: environment)
        spawn.searchesPath = true
        var isTooMuch = false
        do throws(SystemFailure) {
            let finished = try spawn.run(.own, limit: Self.limit + 1, until: .now + .seconds(timeoutSeconds)) { count in
                isTooMuch = count > Self.limit
                return isTooMuch || isStopped()
            }
            if let finished { return finished }
        } catch {
            let hint = error.code == ENOENT ? installHint.map { "; the kubeconfig's hint: \($0)" } ?? "" : ""
            throw ExecProblem("it cannot be started: \(error.reason)\(hint)")
        }
        if isTooMuch { throw Self.tooMuch }
        throw ExecProblem(
            isStopped() ? "it was killed, for we are about to end" : "it did not end within \(timeoutSeconds) s and was killed")
    }
}
