import Logging
import Synchronization

/// What was noted, in order, from any task.
final class Notes: Sendable {
    private let notes = Mutex<[String]>([])
    var all: [String] { notes.withLock { $0 } }
    func append(_ note: String) { notes.withLock { $0.append(note) } }

    /// A logger whose messages, without their metadata, come here.
    var logger: Logger { Logger(label: "test") { _ in Handler(notes: self) } }

    private struct Handler: LogHandler {
        let notes: Notes
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.info
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) { notes.append("\(event.level): \(event.message)") }
    }
}

/// Does `work` in a task of its own while `body` runs, then cancels it and waits for its end.
func alongside(_ work: @escaping @Sendable () async -> Void, _ body: () async -> Void) async {
    let task = Task { await work() }
    await body()
    task.cancel()
    await task.value
}
