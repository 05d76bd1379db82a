internal import CLinuxHeaders
internal import FoundationEssentials
internal import Glibc
internal import Sodium

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
        var ends: [Int32] = [-1, -1]
        guard pipe2(&ends, O_CLOEXEC) == 0 else { throw ExecProblem("pipe: \(String(cString: strerror(errno)))") }
        defer { close(ends[0]) }
        let started = spawn(environment: environment, output: ends[1])
        close(ends[1])
        guard case .success(let process) = started else {
            guard case .failure(let problem) = started else { throw ExecProblem("it cannot be started") }
            throw problem
        }
        var output: [UInt8] = []
        output.reserveCapacity(65536)
        defer { zero(&output) }
        let reading = Result { () throws(ExecProblem) in
            try read(from: ends[0], into: &output, timeoutSeconds: timeoutSeconds, isStopped: isStopped)
        }
        if case .failure = reading { kill(process, SIGKILL) }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
        try reading.get()
        // WIFSIGNALED and WEXITSTATUS of wait(2), which are macros.
        guard status == 0 else {
            let signal = status & 0x7F
            throw ExecProblem(
                signal != 0
                    ? "signal \(signal) ended it"
                    : "it ended with status \(status >> 8 & 0xFF); its own words are on standard error")
        }
        return try ExecAnswer(output, apiVersion: apiVersion)
    }

    private func read(
        from descriptor: Int32, into output: inout [UInt8], timeoutSeconds: Int, isStopped: () -> Bool
    ) throws(ExecProblem) {
        let end = ContinuousClock.now + .seconds(timeoutSeconds)
        var buffer = [UInt8](repeating: 0, count: 16384)
        defer { zero(&buffer) }
        while true {
            guard ContinuousClock.now < end else { throw ExecProblem("it did not end within \(timeoutSeconds) s and was killed") }
            guard !isStopped() else { throw ExecProblem("it was killed, for we are about to end") }
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 200) > 0 else { continue }
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw ExecProblem("reading what it prints: \(String(cString: strerror(errno)))")
            }
            if count == 0 { return }
            guard output.count + count <= 1 << 20 else { throw ExecProblem("it printed more than 1 MiB") }
            output += buffer[..<count]
        }
    }

    private func spawn(environment: [String: String], output: Int32) -> Result<pid_t, ExecProblem> {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // What we ignore or hold back, our children shall not.
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
        var process: pid_t = 0
        let texts = environment.map { "\($0.key)=\($0.value)" }
        var argumentPointers: [UnsafeMutablePointer<CChar>?] = ([command] + arguments).map { strdup($0) } + [nil]
        var environmentPointers: [UnsafeMutablePointer<CChar>?] = texts.map { strdup($0) } + [nil]
        defer { for text in argumentPointers + environmentPointers { free(text) } }
        let code = posix_spawnp(&process, command, &actions, &attributes, &argumentPointers, &environmentPointers)
        guard code == 0 else {
            let hint = code == ENOENT ? installHint.map { "; the kubeconfig's hint: \($0)" } ?? "" : ""
            return .failure(ExecProblem("it cannot be started: \(String(cString: strerror(code)))\(hint)"))
        }
        return .success(process)
    }
}
