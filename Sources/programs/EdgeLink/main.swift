import CLinuxHeaders
import Glibc
import LinkRelay
import Logging
import Sodium
import StructuredLogging
import Syscalls
import UnixSignals

let usage = """
    usage: edge-link FOLDER STATUSFOLDER KEYFILE BUILD

    Takes links as link.json in FOLDER says, until SIGTERM, or SIGHUP when another process has its doors; edge-agent run-link starts it.
    KEYFILE holds the seed of the relay's key.
    edge-link version says that it can be run.

    """

func fail(_ message: String, status: Int32 = 1) -> Never {
    let text = Array("edge-link: \(message)\n".utf8)
    _ = write(STDERR_FILENO, text, text.count)
    exit(status)
}

let arguments = Array(CommandLine.arguments.dropFirst())
if arguments == ["version"] {
    print("edge-link")
    exit(0)
}
guard arguments.count == 4 else { fail("want four arguments\n\n\(usage)", status: 64) }

signal(SIGPIPE, SIG_IGN)
umask(0o077)
// It holds the relay's key: no memory of it goes to a core dump or another process of this user (prctl(2)).
_ = tidegate_prctl(PR_SET_DUMPABLE, 0)
// Whoever started it starts another when it comes back, at the same doors.
_ = tidegate_prctl(PR_SET_PDEATHSIG, UInt(SIGTERM))
// A heap for each thread, kept for ever, would be most of the memory of this process.
mallopt(M_ARENA_MAX, 1)

var environment: [String: String] = [:]
for name in ["LOG_FORMAT", "LOG_LEVEL"] { if let value = getenv(name) { environment[name] = String(cString: value) } }
StructuredLogHandler.bootstrap(environment: environment)

func key(in file: String) throws -> LinkPrivateKey {
    var seed = try Descriptor.open(file, O_RDONLY).readAll(limit: 4096)
    defer { zero(&seed) }
    guard let key = LinkPrivateKey(secret: try SecretBytes(consuming: &seed)) else {
        fail("\(file) holds no key: want \(LinkPrivateKey.size) bytes; apply the EdgeNode again")
    }
    return key
}

do {
    let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint, .sighup)
    let service = LinkService(
        folder: arguments[0], statusFolder: arguments[1], build: arguments[3], key: try key(in: arguments[2]),
        logger: Logger(label: "edge-link"))
    // The signals may be iterated over once, and are asked for twice.
    let (endings, ending) = AsyncStream.makeStream(of: LinkService.Ending.self)
    try await withThrowingDiscardingTaskGroup { tasks in
        tasks.addTask { for await signal in signals { ending.yield(signal == .sighup ? .replaced : .stopped) } }
        try await service.run {
            for await ending in endings { return ending }
            return .stopped
        }
        exit(0)
    }
} catch {
    fail("\(error)")
}
