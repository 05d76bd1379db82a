import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOPosix

/// A page of a pod of ours. Its address may be another's by now: no answer is followed, long waited for or read at length.
enum PodPage {
    /// Never shut down, as `HTTPClient.shared`, which follows redirects.
    private static let client = HTTPClient(
        eventLoopGroup: MultiThreadedEventLoopGroup.singleton,
        configuration: HTTPClient.Configuration(redirectConfiguration: .disallow))
    private static let patience = TimeAmount.seconds(1)

    /// - Returns: nil where it is not answered, or not by 200, or by more bytes.
    static func get(_ url: String, limit: Int) async -> [UInt8]? {
        var request = HTTPClientRequest(url: url)
        request.headers.add(name: "Connection", value: "close")
        guard let answer = try? await client.execute(request, timeout: patience), answer.status == .ok,
            let body = try? await answer.body.collect(upTo: limit)
        else { return nil }
        return Array(body.readableBytesView)
    }
}
