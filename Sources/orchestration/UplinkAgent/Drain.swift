import Logging
import NetworkTypes
import ServiceLifecycle

/// What happens first at the end: `/ready` says 503, so that Envoy sends nothing new here, and what goes on may end.
struct Drain: Service {
    let store: UplinkStore
    let duration: GoDuration
    let logger: Logger

    func run() async throws {
        try await gracefulShutdown()
        store.update { $0.isDraining = true }
        logger.info("stopping: no longer ready", metadata: ["drain": "\(duration)"])
        try await Task.sleep(for: duration.duration)
    }
}
