public import EdgeAPI
public import Enrollment
public import Logging
public import NodeDocument
public import SSH
import Sodium

/// One kept session a VPS; a changed address or Secret makes a new one.
public actor NodeSessions {
    public nonisolated let agentBuild: String
    /// The build of the link program that hosts with links run; nil where there is none here.
    public nonisolated let linkProgram: String?
    public nonisolated let envoyRelease: EnvoyRelease
    /// EdgeNodes whose VPS ended the kept connection, or is gone; for one reader.
    public nonisolated let losses: AsyncStream<ObjectName>
    private nonisolated let lost: AsyncStream<ObjectName>.Continuation
    private let open: @Sendable (EdgeNode, Secret, @escaping @Sendable () -> Void) throws(EnrollmentError) -> NodeLink
    private var links: [ObjectName: NodeLink] = [:]

    /// How long to let a VPS whose connection was lost before it is asked: one that reboots is down by then, and one that ends every
    /// connection is not asked without a pause.
    public static let graceAfterLoss: Duration = .seconds(5)

    /// Sessions over SSH, each with its own connection.
    /// - Parameter sendsPasswordsUnchecked: see `NodeTarget`.
    public init(
        bundle: AgentBundle, envoy: EnvoySource, envoyVersion: String, sendsPasswordsUnchecked: Bool = false, logger: Logger
    ) {
        self.init(
            agentBuild: bundle.build, linkProgram: bundle.link?.build, envoyRelease: envoy.release(version: envoyVersion)
        ) {
            node, secret, onLoss throws(EnrollmentError) in
            var logger = logger
            logger[metadataKey: "edgeNode"] = "\(node.metadata.objectName)"
            let target = try NodeTarget(
                spec: node.spec, secret: secret, sendsPasswordsUnchecked: sendsPasswordsUnchecked)
            return NodeLink(
                NodeSession(target: target, bundle: bundle, envoy: envoy, logger: logger, onLoss: onLoss),
                fingerprint: target.fingerprint)
        }
    }

    /// Sessions by `open`, which connects nothing yet and calls its last argument at each loss.
    init(
        agentBuild: String, linkProgram: String? = nil, envoyRelease: EnvoyRelease,
        open: @escaping @Sendable (EdgeNode, Secret, @escaping @Sendable () -> Void) throws(EnrollmentError) -> NodeLink
    ) {
        self.agentBuild = agentBuild
        self.linkProgram = linkProgram
        self.envoyRelease = envoyRelease
        self.open = open
        (losses, lost) = AsyncStream.makeStream()
    }

    func link(to node: EdgeNode, secret: Secret) async throws(EnrollmentError) -> NodeLink {
        let name = node.metadata.objectName
        let wanted = try open(node, secret) { [lost] in lost.yield(name) }
        if let known = links[name] {
            if known.fingerprint == wanted.fingerprint { return known }
            links[name] = nil
            await known.close()
        }
        links[name] = wanted
        return wanted
    }

    /// The link that is kept, whatever became of its Secret; nil when there is none.
    func keptLink(_ name: ObjectName) -> NodeLink? { links[name] }

    func remove(_ name: ObjectName) async {
        if let link = links.removeValue(forKey: name) { await link.close() }
    }

    /// Time and execs over SSH since the present session of the EdgeNode began; nil when it has none.
    public func statistics(of name: ObjectName) async -> SSHStatistics? { await links[name]?.statistics() }

    /// Ends every connection and returns once they are gone; the VPSes stay as they are.
    public func closeAll() async {
        let all = links.values
        links = [:]
        // At once: one that is slow to go holds up no other.
        await withDiscardingTaskGroup { group in
            for link in all { group.addTask { await link.close() } }
        }
    }
}

/// What a reconcile says to one VPS: the messages of the agent's protocol.
struct NodeLink: Sendable {
    /// Links of the same fingerprint reach the same VPS in the same way.
    var fingerprint: SHA256Digest
    var apply: @Sendable (RelayDocument) async throws(EnrollmentError) -> AgentReport
    /// Nil where there was nothing of ours.
    var teardown: @Sendable (TeardownRequest) async throws(EnrollmentError) -> AgentReport?
    var statistics: @Sendable () async -> SSHStatistics
    var close: @Sendable () async -> Void
}

extension NodeLink {
    init(_ session: NodeSession, fingerprint: SHA256Digest) {
        self.fingerprint = fingerprint
        apply = { document throws(EnrollmentError) in try await session.apply(document) }
        teardown = { request throws(EnrollmentError) in try await session.teardown(request) }
        statistics = { await session.statistics }
        close = { await session.close() }
    }
}
