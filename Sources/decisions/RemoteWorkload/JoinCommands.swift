public import EdgeAPI
public import NetworkTypes
public import NodeDocument
import RemoteDocuments
import Sodium

/// What the remote is started with, one for each client that may be it: exact lines, to be copied.
public struct JoinCommands: Sendable {
    private let service: RemoteService
    private let secrets: RemoteSecrets
    private let address: RemoteAddress

    public init(of service: RemoteService, _ secrets: RemoteSecrets, at address: RemoteAddress) {
        self.service = service
        self.secrets = secrets
        self.address = address
    }

    private func has(_ client: RemoteClientKind) -> Bool { service.spec.clients.contains(client) }

    /// By the names of the join Secret's keys. `wstunnel` takes `%s` three times where the operator gives a template: password, options,
    /// host.
    public func entries(wstunnel template: String? = nil) throws(DocumentError) -> [String: String] {
        var entries = ["url": address.url]
        if has(.tidegate) {
            let facts = RemoteToken.Facts(
                service: service.metadata.objectName.description, url: address.url, path: secrets.path,
                pin: secrets.gatewayKey.pin)
            let token = String(decoding: try RemoteToken(facts: facts, key: secrets.remoteKey).text(), as: UTF8.self)
            entries["token"] = token
            entries["tidegate"] = "echo \(token) | uplink join -" + (service.spec.mesh == nil ? "" : " --mesh")
        }
        if has(.wstunnel) { entries["wstunnel"] = wstunnel(template) }
        if has(.rathole) {
            entries["client.toml"] = ratholeConfiguration
            entries["rathole"] = "rathole --client client.toml"
        }
        if has(.wstunnel) || has(.rathole) { entries["password"] = secrets.password }
        return entries
    }

    /// `-R` for each port, as interLink has them, UDP too.
    public var wstunnelOptions: String {
        service.spec.ports.map { port in
            let scheme = port.protocol == .tcp ? "tcp" : "udp"
            return "-R \(scheme)://0.0.0.0:\(port.port):localhost:\(port.targetPort)"
        }.joined(separator: " ")
    }

    /// wstunnel's defaults ping too seldom for nothing; a path prefix is its password.
    public func wstunnel(_ template: String?) -> String {
        guard let template else {
            return "wstunnel client --http-upgrade-path-prefix \(secrets.password) \(wstunnelOptions) \(address.url)"
        }
        var result = ""
        var values = [secrets.password, wstunnelOptions, address.host][...]
        var rest = Substring(template)
        while let place = rest.range(ofText: "%s") {
            result += rest[..<place.lowerBound] + (values.popFirst() ?? "")
            rest = rest[place.upperBound...]
        }
        return result + rest
    }

    /// Of rathole 0.5: TLS is ended in front, and no field is there that it would refuse.
    public var ratholeConfiguration: String {
        var lines = [
            "[client]", "remote_addr = \"\(address.host):\(address.port)\"", "default_token = \"\(secrets.password)\"", "",
            "[client.transport]", "type = \"\(address.isHTTP ? "websocket" : "tcp")\"",
        ]
        if address.isHTTP {
            lines += ["", "[client.transport.websocket]", "tls = \(address.isSecure)"]
            if address.isSecure { lines += ["", "[client.transport.tls]", "hostname = \"\(address.host)\""] }
        }
        for port in service.spec.ports {
            lines += ["", "[client.services.\(port.ratholeName)]"]
            if port.protocol == .udp { lines.append("type = \"udp\"") }
            lines.append("local_addr = \"127.0.0.1:\(port.targetPort)\"")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

/// Where a remote comes in.
public struct RemoteAddress: Hashable, Sendable {
    public var host: String
    public var port: Port
    public var isSecure: Bool
    /// Whether a web server is in front, which passes nothing but HTTP.
    public var isHTTP: Bool

    public init(host: String, port: Port, isSecure: Bool, isHTTP: Bool) {
        self.host = host
        self.port = port
        self.isSecure = isSecure
        self.isHTTP = isHTTP
    }

    public var url: String {
        let isDefault = port.number == (isSecure ? 443 : 80)
        let shown = HostAddress(host)?.bracketed ?? host
        return "\(isSecure ? "wss" : "ws")://\(shown)\(isDefault ? "" : ":\(port)")"
    }
}

extension Substring {
    fileprivate func range(ofText text: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}
