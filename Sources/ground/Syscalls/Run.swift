import Glibc

/// How a program ended, and what it printed.
public struct Finished: Sendable {
    public var ending: Ending
    public var output: [UInt8]
    /// Empty unless they were gathered apart.
    public var errors: [UInt8]
}

extension Spawn {
    /// Where a program's standard error goes: where this process's does, into its output, or apart.
    public enum Errors: Sendable { case own, withOutput, apart }

    /// Runs the program until it ends, and gathers what it prints. What it leaves in the background goes on, and is not waited for.
    /// - Parameters:
    ///   - limit: bytes to keep of each stream, and up to 64 KiB more; what comes beyond is read and dropped.
    ///   - isStopped: asked some twenty times a second, with the count of bytes gathered; when it says yes the program is killed.
    /// - Returns: nil when it was killed, for it was stopped or took longer than `deadline`.
    public func run(
        _ errors: Errors, limit: Int, until deadline: ContinuousClock.Instant, isStopped: (Int) -> Bool = { _ in false }
    ) throws(SystemFailure) -> Finished? {
        let (process, streams) = try begin(errors, limit)
        while ContinuousClock.now < deadline, !isStopped(streams.reduce(0) { $0 + $1.bytes.count }) {
            let open = streams.filter { !$0.isAtEnd }
            var entries = open.map { pollfd(fd: $0.output.number, events: Int16(POLLIN), revents: 0) }
            // It closes what it prints to a moment before it has ended.
            if try poll(&entries, until: min(deadline, .now + .milliseconds(open.isEmpty ? 1 : 50))) {
                for (stream, entry) in zip(open, entries) where entry.revents != 0 { stream.take() }
            }
            if let ended = try endedChild(process) {
                for stream in streams { stream.takeRest() }
                return Finished(
                    ending: ended.ending, output: streams[0].handOver(), errors: streams.count > 1 ? streams[1].handOver() : [])
            }
        }
        kill(process, SIGKILL)
        _ = try waitForEnd(of: process)
        return nil
    }

    /// The program alone has the ends that it prints to.
    private func begin(_ errors: Errors, _ limit: Int) throws(SystemFailure) -> (process: Int32, streams: [Printed]) {
        var spawn = self
        let output = try Descriptor.pipe()
        spawn.output = output.input
        if errors == .withOutput { spawn.errors = output.input }
        var streams = [Printed(output.output, limit)]
        if errors == .apart {
            let errors = try Descriptor.pipe()
            spawn.errors = errors.input
            streams.append(Printed(errors.output, limit))
        }
        return (try spawn.start(), streams)
    }
}

/// What came on one stream. It may be a secret, of which no copy stays here.
private final class Printed {
    let output: Descriptor
    private(set) var bytes: [UInt8] = []
    private(set) var isAtEnd = false
    private let limit: Int
    private var buffer = [UInt8](repeating: 0, count: 64 << 10)

    init(_ output: Descriptor, _ limit: Int) {
        self.output = output
        self.limit = limit
        bytes.reserveCapacity(min(limit, 64 << 10))
        _ = fcntl(output.number, F_SETFL, O_NONBLOCK)
    }

    deinit {
        erase(&buffer)
        erase(&bytes)
    }

    /// - Returns: whether there was something.
    @discardableResult
    func take() -> Bool {
        do throws(SystemFailure) {
            let count = try output.read(into: &buffer)
            if count == 0 { isAtEnd = true }
            if bytes.count < limit { bytes += buffer.prefix(count) }
            return count > 0
        } catch {
            if error.code != EAGAIN { isAtEnd = true }
            return false
        }
    }

    /// No more than a pipe holds: what is in the background may go on printing.
    func takeRest() { for _ in 0..<16 where !isAtEnd { if !take() { break } } }

    func handOver() -> [UInt8] {
        defer { bytes = [] }
        return bytes
    }
}
