import AsyncHTTPClient
import KubernetesAPI
import NIOCore
import NIOHTTP1
import NIOSSL
import NetworkTypes
import Sodium
import Timing

/// Requests to HTTP and back.
struct Transport: Sendable {
    /// Bytes of an error's answer; a Status is far shorter.
    static let errorLimit = 1 << 20

    let access: ClusterAccess
    let options: KubernetesClient.Options
    let credentials: CredentialSource
    let client: HTTPClient
    /// What all URLs begin with. With a `tls-server-name` its host is that name, which leads to the real one again.
    let base: String
    let diagnosis: TLSDiagnosis
    private let gate = Gate()

    /// - Parameter connections: at once; who needs one more waits.
    init(
        _ access: ClusterAccess, options: KubernetesClient.Options, credentials: CredentialSource,
        eventLoops: any EventLoopGroup, connections: Int
    ) {
        self.access = access
        self.options = options
        self.credentials = credentials
        diagnosis = TLSDiagnosis(access: access, eventLoops: eventLoops)
        var named = access.server
        if let name = access.tlsServerName { named.host = name }
        base = named.description
        client = HTTPClient(eventLoopGroup: eventLoops, configuration: .kubernetes(access, options, connections: connections))
    }

    /// When it returns, nothing runs on the event loops any more.
    func shutdown() async {
        credentials.stop()
        gate.close()
        // It fails only for one that is shut down already.
        try? await client.shutdown()
        await gate.emptied()
    }

    func answer(_ request: APIRequest) async throws(APIError) -> [UInt8] {
        try await retrying(request) { current throws(AttemptFailure) in
            try await attempt(request, current, isStream: false) { response in
                var buffer = try await response.body.collect(
                    upTo: min(request.answerLimit ?? .max, options.answerLimit))
                return buffer.readBytes(length: buffer.readableBytes) ?? []
            }
        }
    }

    func stream(_ request: APIRequest) async throws(APIError) -> APIStream {
        let body = try await retrying(request) { current throws(AttemptFailure) in
            try await attempt(request, current, isStream: true) { $0.body }
        }
        let reader = BodyReader(body, errors: TransportErrors(access: access, options: options))
        return APIStream { () throws(APIError) in try await reader.next() }
    }

    private func retrying<Answer: Sendable>(
        _ request: APIRequest, _ attempt: (Credentials) async throws(AttemptFailure) -> Answer
    ) async throws(APIError) -> Answer {
        var plan = RetryPlan(request.method, waitLimit: options.waitLimit, longestWait: options.longestWait)
        var current = try await credentials.current()
        while true {
            let failure: AttemptFailure
            do throws(AttemptFailure) {
                return try await attempt(current)
            } catch {
                failure = error
            }
            switch plan.step(after: failure) {
            case .fail: throw failure.error
            case .again: break
            case .wait(let seconds):
                do {
                    // Many are told the same; not all shall come back at once.
                    try await Task.sleep(for: .seconds(Double(seconds) * Double.random(in: 1...1.25)))
                } catch {
                    throw .cancelled
                }
                current = try await credentials.current()
            case .renewCredentials:
                let renewed = try await credentials.current(after: current.generation)
                guard renewed.generation != current.generation else { throw failure.error }
                current = renewed
            }
        }
    }

    private func attempt<Answer: Sendable>(
        _ request: APIRequest, _ current: Credentials, isStream: Bool,
        _ body: @escaping @Sendable (HTTPClientResponse) async throws -> Answer
    ) async throws(AttemptFailure) -> Answer {
        guard gate.enter() else { throw AttemptFailure(error: .cancelled) }
        defer { gate.leave() }
        let outgoing = message(request, current, isStream: isStream)
        let start = ContinuousClock.now
        var report = RequestReport(
            method: request.method, host: access.server.authority, code: nil, error: nil, duration: .zero)
        let exchange: Exchange<Answer>
        do {
            let answered = try await withTimeLimit(options.requestTimeout) { () -> Exchange<Answer> in
                let deadline = NIODeadline.now() + .nanoseconds(options.requestTimeout.nanoseconds)
                let response = try await client.execute(outgoing, deadline: deadline)
                return switch response.status.code {
                case 200...299: Exchange(response, .success(try await body(response)))
                case 300...399: Exchange(response, .failure(redirected(response)))
                default: Exchange(response, .failure(.status(try await status(response))))
                }
            }
            guard let answered else { throw HTTPClientError.deadlineExceeded }
            exchange = answered
        } catch {
            var failure = TransportErrors(access: access, options: options).failure(error)
            if case .unreachable(let cause) = failure.error, isUntrusted(error) {
                credentials.doubt()
                failure.error = .unreachable(await diagnosis.explain(cause, current.tls))
            }
            report.error = failure.error
            report.duration = .now - start
            options.report(report)
            throw failure
        }
        report.code = exchange.code
        report.warnings = exchange.warnings
        report.duration = .now - start
        options.report(report)
        switch exchange.answer {
        case .success(let answer): return answer
        case .failure(let error): throw AttemptFailure(error: error, retryAfter: exchange.retryAfter)
        }
    }

    private func message(_ request: APIRequest, _ current: Credentials, isStream: Bool) -> HTTPClientRequest {
        var message = HTTPClientRequest(url: base + request.target)
        message.method = HTTPMethod(rawValue: request.method.rawValue)
        message.headers = [
            "Host": access.server.hostHeader, "User-Agent": "\(options.agent) (linux/\(Self.architecture))",
            "Accept": "application/json",
        ]
        if !isStream && access.acceptsCompression && request.method == .get {
            message.headers.add(name: "Accept-Encoding", value: "gzip")
        }
        if let type = request.contentType { message.headers.add(name: "Content-Type", value: type) }
        if let authorization = current.authorization {
            message.headers.add(
                name: "Authorization", value: authorization.withUnsafeBytes { String(decoding: $0, as: UTF8.self) })
        }
        for header in access.impersonation { message.headers.add(name: header.name, value: header.value) }
        if let body = request.body { message.body = .bytes(ByteBuffer(bytes: body)) }
        message.tlsConfiguration = current.tls
        return message
    }

    private static var architecture: String {
        #if arch(arm64)
        "arm64"
        #else
        "amd64"
        #endif
    }

    private func status(_ response: HTTPClientResponse) async throws -> APIStatus {
        let buffer = try await response.body.collect(upTo: Self.errorLimit)
        var status = APIStatus(
            code: Int(response.status.code), body: Array(buffer.readableBytesView),
            retryAfter: seconds(ofRetryAfter: response.headers))
        if status.code == 401 { status.message += ": the server does not accept the credentials of \(access.origin)" }
        return status
    }

    private func redirected(_ response: HTTPClientResponse) -> APIError {
        let target = response.headers.first(name: "Location").map { " to \(printable($0, limit: 200))" } ?? ""
        return .malformed(
            "it redirects\(target) (\(response.status.code)): is \(access.server), from \(access.origin), really an API server?")
    }
}

/// An answer's head with what was made of its body.
private struct Exchange<Answer: Sendable>: Sendable {
    let code: Int
    let retryAfter: Int?
    let warnings: [String]
    let answer: Result<Answer, APIError>

    init(_ response: HTTPClientResponse, _ answer: Result<Answer, APIError>) {
        code = Int(response.status.code)
        retryAfter = seconds(ofRetryAfter: response.headers)
        warnings = response.headers["Warning"].prefix(20).map { printable($0, limit: 400) }
        self.answer = answer
    }
}

/// Seconds; a date is not read, and no API server sends one.
private func seconds(ofRetryAfter headers: HTTPHeaders) -> Int? {
    headers.first(name: "Retry-After").flatMap { Int($0) }.flatMap { $0 >= 0 ? $0 : nil }
}
