import FileWatching
import Logging
import ServiceLifecycle

/// Tells the keeper when the document or the key changes; also where Kubernetes swaps a ConfigMap's symbolic link.
struct ConfigWatcher: Service {
    let paths: [String]
    let store: UplinkStore
    let events: KeeperEvents
    let logger: Logger

    private static let retryAfter = Duration.seconds(5)

    func run() async throws {
        while !Task.isShuttingDownGracefully && !Task.isCancelled {
            do {
                for try await _ in FileWatch(paths: paths).cancelOnGracefulShutdown() {
                    store.update { $0.watcherLives = true }
                    events.send(.filesChanged)
                }
            } catch {
                logger.error("cannot watch the document and the key", metadata: ["reason": "\(error)"])
            }
            if Task.isShuttingDownGracefully { return }
            store.update { $0.watcherLives = false }
            try? await cancelWhenGracefulShutdown { try await Task.sleep(for: Self.retryAfter) }
        }
    }
}
