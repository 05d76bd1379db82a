import EdgeAPI
import NetworkTypes
import Sodium

extension Kubeconfig {
    /// - Parameter chosen: the context's name; nil takes `current-context`.
    func access(context chosen: String?) throws(ClusterAccessError) -> ClusterAccess {
        let place = files.joined(separator: ":")
        let name: String
        if let chosen {
            name = chosen
        } else if let currentContext {
            name = currentContext
        } else {
            throw ClusterAccessError(
                place, "current-context is not set; choose one with --context (there are: \(names(contexts)))")
        }
        guard let context = contexts[name] else {
            throw ClusterAccessError(place, "there is no context \(printable(name)) (there are: \(names(contexts)))")
        }
        let clusterName = try context.child("cluster").required()
        guard let cluster = clusters[clusterName] else {
            throw try context.child("cluster").fail(
                "there is no cluster \(printable(clusterName)) (there are: \(names(clusters)))")
        }
        var access = ClusterAccess(
            server: try Self.server(cluster.child("server")), origin: "context \(printable(name)) of \(context.file)")
        try Self.read(cluster, into: &access)
        if let userName = try context.child("user").text() {
            guard let user = users[userName] else {
                throw try context.child("user").fail("there is no user \(printable(userName)) (there are: \(names(users)))")
            }
            try Self.readUser(user, cluster: cluster, into: &access)
        }
        if let namespace = try context.child("namespace").text() { access.namespace = namespace }
        return access
    }

    private func names(_ entries: [String: ConfigField]) -> String {
        let names = entries.keys.sorted().prefix(10).map { printable($0) }.joined(separator: ", ")
        return names.isEmpty ? "none" : names
    }

    /// `https://HOST[:PORT][/PATH]`, or http.
    static func server(_ field: ConfigField) throws(ClusterAccessError) -> ClusterAccess.Server {
        let text = try field.required()
        let wanted = "\(printable(text)) is no server; want https://HOST:PORT"
        guard let scheme = text.range(of: "://", among: ["https", "http"]) else { throw field.fail(wanted) }
        var rest = text[scheme.end...]
        guard rest.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !"?#@\\\"<>^`{|}".utf8.contains($0) }) else {
            throw field.fail(wanted)
        }
        var path = ""
        if let slash = rest.firstIndex(of: "/") {
            path = String(rest[slash...])
            rest = rest[..<slash]
        }
        while path.hasSuffix("/") { path.removeLast() }
        var host = rest
        var port = scheme.name == "https" ? 443 : 80
        let afterBrackets = rest.lastIndex(of: "]") ?? rest.startIndex
        if let colon = rest[afterBrackets...].lastIndex(of: ":") {
            guard let given = UInt16(rest[rest.index(after: colon)...]), given > 0 else { throw field.fail(wanted) }
            port = Int(given)
            host = rest[..<colon]
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard (try? IPv6Address(parsing: String(host))) != nil else { throw field.fail(wanted) }
        } else {
            guard !host.isEmpty, !host.utf8.contains(where: { ":[]%".utf8.contains($0) }) else { throw field.fail(wanted) }
        }
        return ClusterAccess.Server(isTLS: scheme.name == "https", host: String(host), port: port, basePath: path)
    }

    private static func read(_ cluster: ConfigField, into access: inout ClusterAccess) throws(ClusterAccessError) {
        let proxy = try cluster.child("proxy-url")
        if try proxy.text() != nil {
            throw proxy.fail("a proxy on the way to the API server is not supported; name a server that is reached directly")
        }
        access.tlsServerName = try serverName(cluster, server: access.server)
        access.acceptsCompression = try !cluster.child("disable-compression").flag()
        let unchecked = try cluster.child("insecure-skip-tls-verify")
        let material = try material(cluster, "certificate-authority")
        if try unchecked.flag() {
            guard material == nil else {
                throw unchecked.fail("goes not together with certificate-authority; remove one of the two")
            }
            access.authority = .unchecked
        } else if let material {
            access.authority = .these(material)
        }
    }

    private static func serverName(
        _ cluster: ConfigField, server: ClusterAccess.Server
    ) throws(ClusterAccessError) -> String? {
        let field = try cluster.child("tls-server-name")
        guard let name = try field.text(), name != server.host else { return nil }
        guard isDNSName(name.lowercased()) else {
            throw field.fail("\(printable(name)) is no DNS name; an IP address is not supported here")
        }
        return name
    }

    /// A field of a file's name, or the one with `-data` that holds the bytes themselves.
    private static func material(
        _ parent: ConfigField, _ name: String
    ) throws(ClusterAccessError) -> ClusterAccess.Material? {
        let inline = try parent.child("\(name)-data")
        let file = try parent.child(name)
        switch (try inline.data(), try file.filePath()) {
        case (nil, nil): return nil
        case (let data?, nil): return .bytes(data)
        case (nil, let path?): return .file(path)
        case (_?, _?): throw inline.fail("\(name) is there too; remove one of the two")
        }
    }

    private static func readUser(
        _ user: ConfigField, cluster: ConfigField, into access: inout ClusterAccess
    ) throws(ClusterAccessError) {
        let provider = try user.child("auth-provider")
        guard provider.node == nil else {
            throw provider.fail(
                "auth-provider is not supported (kubectl dropped it in 1.26); use exec with the provider's plugin, or a token")
        }
        switch (try material(user, "client-certificate"), try material(user, "client-key")) {
        case (nil, nil): break
        case (let chain?, let key?): access.clientCertificate = ClusterAccess.ClientCertificate(chain: chain, key: key)
        case (_?, nil): throw user.fail("client-certificate without client-key")
        case (nil, _?): throw user.fail("client-key without client-certificate")
        }
        access.credential = try credential(user, cluster: cluster)
        access.impersonation = try impersonation(user)
    }

    private static func credential(
        _ user: ConfigField, cluster: ConfigField
    ) throws(ClusterAccessError) -> ClusterAccess.Credential {
        let token = try user.child("token").secret()
        let file = try user.child("tokenFile").filePath()
        let name = try user.child("username").text()
        let exec = try user.child("exec")
        let isBearer = token != nil || file != nil
        guard [isBearer, name != nil, exec.node != nil].filter({ $0 }).count <= 1 else {
            throw user.fail("more than one of token, username and exec; keep one")
        }
        if exec.node != nil { return .exec(try ExecPlugin(exec, cluster: cluster)) }
        if let file { return .tokenFile(file, fallback: token) }
        if let token { return .token(token) }
        guard let name else { return .none }
        guard !name.contains(":") else { throw try user.child("username").fail("a colon has no place in it") }
        guard let password = try user.child("password").secret() else { throw user.fail("username without password") }
        return .basic(user: name, password: password)
    }

    private static func impersonation(_ user: ConfigField) throws(ClusterAccessError) -> [ClusterAccess.Header] {
        var headers: [ClusterAccess.Header] = []
        if let name = try user.child("as").text() { headers.append(ClusterAccess.Header(name: "Impersonate-User", value: name)) }
        if let uid = try user.child("as-uid").text() { headers.append(ClusterAccess.Header(name: "Impersonate-Uid", value: uid)) }
        for group in try user.child("as-groups").texts() {
            headers.append(ClusterAccess.Header(name: "Impersonate-Group", value: group))
        }
        let extra = try user.child("as-user-extra")
        guard try extra.entries().isEmpty else { throw extra.fail("not supported; remove it") }
        guard headers.isEmpty || headers.contains(where: { $0.name == "Impersonate-User" }) else {
            throw user.fail("as-uid and as-groups want as")
        }
        for header in headers where !header.value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) {
            throw user.fail("as, as-uid and as-groups may hold no control characters")
        }
        return headers
    }
}

extension String {
    fileprivate func range(of separator: String, among names: [String]) -> (name: String, end: Index)? {
        for name in names where hasPrefix(name + separator) {
            return (name, index(startIndex, offsetBy: name.count + separator.count))
        }
        return nil
    }
}
