import EdgeAPI
public import Enrollment
public import Logging
public import NodeDocument

/// One kept session a VPS; a changed address or Secret makes a new one.
public actor NodeSessions {
    public nonisolated let envoyRelease: EnvoyRelease
    private let bundle: AgentBundle
    private let envoy: EnvoySource
    private let logger: Logger
    private var sessions: [ObjectName: (target: NodeTarget, session: NodeSession)] = [:]

    public init(bundle: AgentBundle, envoy: EnvoySource, envoyVersion: String, logger: Logger) {
        self.bundle = bundle
        self.envoy = envoy
        envoyRelease = envoy.release(version: envoyVersion)
        self.logger = logger
    }

    public nonisolated var agentBuild: String { bundle.build }

    func session(for node: EdgeNode, secret: Secret) async throws(EnrollmentError) -> NodeSession {
        let name = node.metadata.objectName
        let target = try NodeTarget(spec: node.spec, secret: secret)
        if let (known, session) = sessions[name] {
            if known.fingerprint == target.fingerprint { return session }
            sessions[name] = nil
            await session.close()
        }
        var logger = logger
        logger[metadataKey: "edgeNode"] = "\(name)"
        let session = NodeSession(target: target, bundle: bundle, envoy: envoy, logger: logger)
        sessions[name] = (target, session)
        return session
    }

    func remove(_ name: ObjectName) async {
        if let (_, session) = sessions.removeValue(forKey: name) { await session.close() }
    }

    /// Ends every connection; the VPSes stay as they are.
    public func closeAll() async {
        let all = sessions.values.map(\.session)
        sessions = [:]
        for session in all { await session.close() }
    }
}
