import EdgeAPI
import Enrollment
import Glibc
import Logging
import ManifestStore
import Reconcilers
import Sodium
import Synchronization
import TestFiles
import Testing

@testable import Standalone

@Suite struct StandaloneControllerKernelTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write("manifests/web.yaml", binding)
        try folder.write("agent.tar.gz", "a")
        try folder.write("agent.build", "b1")
    }

    private let binding = """
        apiVersion: tunnel.achetronic.com/v1alpha1
        kind: PortBinding
        metadata:
          name: web
        spec:
          edgeNodeRef:
            name: edge
          bindings:
          - name: http
            protocol: TCP
            listenPort: 80
            target:
              address: 10.0.0.1
              port: 80
        """

    /// Counts what is told.
    private struct Told: LogHandler {
        final class Lines: Sendable {
            let all = Mutex<[String]>([])
        }

        let lines: Lines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.info
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) { lines.all.withLock { $0.append("\(event.message)") } }
    }

    private func controller(_ logger: Logger) throws -> StandaloneController {
        let store = try StandaloneStore(folder: StateFolder(path: folder("state")), uplinks: nil, logger: logger)
        let sessions = NodeSessions(
            bundle: try AgentBundle(path: folder("agent.tar.gz")),
            envoy: .url("https://example.org/envoy", SHA256.digest(of: "envoy")), envoyVersion: "1.40.0", logger: logger)
        let outcomes = NodeOutcomes()
        return StandaloneController(
            manifests: folder("manifests"), store: store,
            nodes: EdgeNodeReconciler(
                store: store, sessions: sessions, outcomes: outcomes,
                writer: WriterFence(installation: "i", writer: "w", epoch: { 1 }), logger: logger),
            bindings: PortBindingReconciler(store: store, outcomes: outcomes, logger: logger), sessions: sessions, uplinks: nil,
            logger: logger)
    }

    private func eventually(_ holds: () -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(30)
        while !holds() {
            try #require(ContinuousClock.now < deadline)
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// What stood in its way is gone, and no manifest has changed since.
    @Test func aStatusThatCannotBeWrittenIsToldAndTriedAgain() async throws {
        let lines = Told.Lines()
        let controller = try controller(Logger(label: "test") { _ in Told(lines: lines) })
        // A file in the folder's place.
        try folder.write("state/status", "")
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await controller.run() }
            try await eventually { lines.all.withLock { $0.contains("the status could not be written") } }
            #expect(unlink(folder("state/status")) == 0)
            try await eventually { folder.read("state/status/default/portbinding-web.yaml")?.contains("EdgeNode") == true }
            tasks.cancelAll()
        }
    }
}
