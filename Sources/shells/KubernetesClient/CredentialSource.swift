import Dispatch
import FoundationEssentials
import KubernetesAPI
import Logging
import NIOSSL
import NetworkTypes
import Sodium
import Synchronization

/// What a request goes out with.
struct Credentials: Sendable {
    var tls: TLSConfiguration?
    /// The value of the header `Authorization`; nil without one.
    var authorization: SecretBytes?
    /// Rises whenever one of the two changes.
    var generation: Int
}

/// Keeps certificates and tokens as fresh as their files and programs are. Reading and running is done on one thread of its own,
/// so that many requests that find the same token stale cause one renewal.
final class CredentialSource: Sendable {
    /// The kubelet renews a token at four fifths of its life; client-go reads it each minute as well.
    static let fileAge = Duration.seconds(60)
    /// How long a failed program is left alone, and how long one that gave refused credentials.
    static let execPause = Duration.seconds(10)
    static let execTimeoutSeconds = 60

    private struct State {
        var current: Credentials
        var contents: Contents
        var certificate: ClusterAccess.ClientCertificate?
        var readAt: ContinuousClock.Instant
        var exec: ExecAnswer?
        var execEnded: ContinuousClock.Instant?
        var execFailure: APIError?
        var isDoubted = false
        var isStopped = false
    }

    private let access: ClusterAccess
    private let logger: Logger
    private let clock: CredentialClock
    private let queue = DispatchQueue(label: "tidegate.credentials")
    private let state: Mutex<State>

    /// Reads the files for the first time; a program is run by the first request.
    init(_ access: ClusterAccess, logger: Logger, clock: CredentialClock = .system) throws(ClusterAccessError) {
        self.access = access
        self.logger = logger
        self.clock = clock
        let contents = try Self.read(access, exec: nil)
        let current = Credentials(
            tls: access.server.isTLS ? try access.tlsConfiguration(contents, certificate: access.clientCertificate) : nil,
            authorization: try access.authorization(contents.token), generation: 0)
        state = Mutex(
            State(current: current, contents: contents, certificate: access.clientCertificate, readAt: clock.now()))
    }

    func stop() { state.withLock { $0.isStopped = true } }

    /// - Parameter refused: the generation that the server answered with 401. When nothing newer is to be had, what comes
    ///   back is of that generation still.
    func current(after refused: Int? = nil) async throws(APIError) -> Credentials {
        if let current = state.withLock({ isDue($0, refused: refused) ? nil : $0.current }) { return current }
        let result = await withCheckedContinuation { continuation in
            queue.async { continuation.resume(returning: self.renew(refused: refused)) }
        }
        return try result.get()
    }

    /// Has the files read again for the next request: what was read did not do.
    func doubt() { state.withLock { $0.isDoubted = true } }

    private func isDue(_ state: State, refused: Int?) -> Bool {
        if refused == state.current.generation { return true }
        if access.hasFiles && (state.isDoubted || clock.now() - state.readAt >= Self.fileAge) { return true }
        return isExecDue(state, refused: refused)
    }

    private func isExecDue(_ state: State, refused: Int?) -> Bool {
        guard case .exec = access.credential else { return false }
        guard let answer = state.exec else { return true }
        return refused == state.current.generation || answer.expires.map { $0 <= clock.secondsSince1970() } ?? false
    }

    /// On the queue only: nobody else changes the state meanwhile.
    private func renew(refused: Int?) -> Result<Credentials, APIError> {
        var next = state.withLock { $0 }
        guard isDue(next, refused: refused) else { return .success(next.current) }
        next.isDoubted = false
        defer { state.withLock { [next] in $0 = merged(next, isStopped: $0.isStopped) } }
        if isExecDue(next, refused: refused) {
            if let ended = next.execEnded, clock.now() - ended < Self.execPause {
                if let failure = next.execFailure { return .failure(failure) }
                if refused == next.current.generation { return .success(next.current) }
            }
            let problem = runPlugin(&next)
            if let problem { return .failure(problem) }
        }
        do throws(ClusterAccessError) {
            try take(try Self.read(access, exec: next.exec), into: &next)
        } catch {
            if case .exec = access.credential {
                // Without its credentials we would be nobody.
                let failure = APIError.credentials("\(error)")
                next.exec = nil
                next.execFailure = failure
                return .failure(failure)
            }
            // What was read before may still be good; the server will say.
            logger.warning("credentials could not be read again: those read before stay in use", metadata: ["error": "\(error)"])
            next.readAt = clock.now()
        }
        return .success(next.current)
    }

    private func merged(_ state: State, isStopped: Bool) -> State {
        var state = state
        state.isStopped = isStopped
        return state
    }

    private func take(_ contents: Contents, into state: inout State) throws(ClusterAccessError) {
        state.readAt = clock.now()
        guard contents != state.contents else { return }
        let certificate = state.exec?.clientCertificate ?? access.clientCertificate
        var current = state.current
        if access.server.isTLS && !contents.hasSameTLS(as: state.contents) {
            current.tls = try access.tlsConfiguration(contents, certificate: certificate)
        }
        if contents.token != state.contents.token { current.authorization = try access.authorization(contents.token) }
        current.generation += 1
        state.current = current
        state.contents = contents
        state.certificate = certificate
    }

    private func runPlugin(_ state: inout State) -> APIError? {
        guard case .exec(let plugin) = access.credential else { return nil }
        defer { state.execEnded = clock.now() }
        do {
            let answer = try plugin.run(
                environment: ProcessInfo.processInfo.environment, authority: try plugin.cluster?.authority?.read(),
                timeoutSeconds: Self.execTimeoutSeconds, isStopped: { self.state.withLock { $0.isStopped } })
            if let expires = answer.expires, expires <= clock.secondsSince1970() {
                throw ExecProblem("the credentials that it printed have expired already; is this machine's clock right?")
            }
            state.exec = answer
            state.execFailure = nil
            return nil
        } catch {
            let cause = (error as? ExecProblem)?.message ?? "\(error)"
            let failure = APIError.credentials("\(access.origin): the program \(plugin.command) gave no credentials: \(cause)")
            state.execFailure = failure
            return failure
        }
    }

    private static func read(_ access: ClusterAccess, exec: ExecAnswer?) throws(ClusterAccessError) -> Contents {
        var contents = Contents()
        if access.server.isTLS {
            if case .these(let material) = access.authority { contents.authority = try material.read() }
            if let certificate = exec?.clientCertificate ?? access.clientCertificate {
                contents.chain = try certificate.chain.read()
                contents.key = try certificate.key.readSecret()
            }
        }
        switch access.credential {
        case .none: break
        case .token(let token): contents.token = token
        case .basic(_, let password): contents.token = password
        case .exec: contents.token = exec?.token
        case .tokenFile(let path, let fallback):
            do throws(ClusterAccessError) {
                contents.token = try ClusterAccess.Material.file(path).readSecret()
            } catch {
                guard let fallback else { throw error }
                contents.token = fallback
            }
        }
        return contents
    }
}

/// Where the time comes from.
struct CredentialClock: Sendable {
    var now: @Sendable () -> ContinuousClock.Instant
    var secondsSince1970: @Sendable () -> Int64

    static let system = CredentialClock(
        now: { ContinuousClock.now }, secondsSince1970: { Int64(Date().timeIntervalSince1970) })
}

extension ClusterAccess {
    /// Whether something is read from files, which may change.
    var hasFiles: Bool {
        if case .these(.file) = authority { return true }
        if case .tokenFile = credential { return true }
        if case .file? = clientCertificate?.chain { return true }
        if case .file? = clientCertificate?.key { return true }
        return false
    }

    /// The header's value for a token or password.
    func authorization(_ secret: SecretBytes?) throws(ClusterAccessError) -> SecretBytes? {
        guard let secret else { return nil }
        var bytes = secret.withUnsafeBytes { Array($0) }
        defer { zero(&bytes) }
        var value: [UInt8]
        if case .basic(let user, _) = credential {
            value = Array("Basic ".utf8) + encoded(user: user, password: bytes)
        } else {
            let isSpace: (UInt8) -> Bool = { $0 == 0x20 || (0x09...0x0D).contains($0) }
            let token = bytes.drop(while: isSpace).reversed().drop(while: isSpace).reversed()
            guard !token.isEmpty else { throw ClusterAccessError(tokenPlace, "holds no token") }
            guard token.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                throw ClusterAccessError(tokenPlace, "holds characters that no token has")
            }
            value = Array("Bearer ".utf8) + token
        }
        do { return try SecretBytes(consuming: &value) } catch { throw ClusterAccessError(origin, "\(error)") }
    }

    private func encoded(user: String, password: [UInt8]) -> [UInt8] {
        var pair = Array("\(user):".utf8) + password
        defer { zero(&pair) }
        return Array(encodeBase64(pair).utf8)
    }

    private var tokenPlace: String { if case .tokenFile(let path, _) = credential { path } else { origin } }
}
