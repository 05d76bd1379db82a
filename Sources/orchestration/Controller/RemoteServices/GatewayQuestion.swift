import NIOCore
import NetworkTypes
import NodeDocument
import RemoteDocuments

/// Asks a gateway what it serves. What it says is bounded, and but shown.
struct GatewayQuestion: Sendable {
    var port = Port.gatewayStatus

    /// - Returns: nil where it does not answer.
    func report(at address: IPAddress) async -> GatewayReport? {
        let page = await PodPage.get(
            "http://\(HostAddress.ip(address).bracketed):\(port)/status", limit: GatewayReport.bounds.bytes)
        guard let page, GatewayReport.bounds.excess(in: page) == nil else { return nil }
        return try? DocumentJSON.decode(GatewayReport.self, from: page)
    }
}
