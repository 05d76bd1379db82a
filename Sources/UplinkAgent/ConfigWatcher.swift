import Logging
import ServiceLifecycle

/// Tells the keeper when the document or the key changes.
struct ConfigWatcher: Service {
    let paths: [String]
    let store: UplinkStore
    let events: KeeperEvents
    let logger: Logger

    func run() async throws {
        store.update { $0.watcherLives = true }
        try await gracefulShutdown()
    }
}
