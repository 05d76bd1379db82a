import AsyncHTTPClient
import KubernetesAPI
import NIOCore

/// The pieces of an answer as they come. What nobody asks for stays in the kernel, and at the server.
final class BodyReader: Sendable {
    // One task at a time asks for the next piece: what `APIStream` demands.
    private nonisolated(unsafe) var iterator: HTTPClientResponse.Body.AsyncIterator
    private let errors: TransportErrors

    init(_ body: HTTPClientResponse.Body, errors: TransportErrors) {
        iterator = body.makeAsyncIterator()
        self.errors = errors
    }

    func next() async throws(APIError) -> [UInt8]? {
        do {
            let buffer = try await iterator.next()
            if buffer == nil && Task.isCancelled { throw CancellationError() }
            return buffer.map { Array($0.readableBytesView) }
        } catch {
            throw errors.failure(error).error
        }
    }
}
