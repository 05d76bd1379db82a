import ArgumentParser
import EdgeAPI
import FoundationEssentials
import Glibc
import ManifestStore
import NetworkTypes
import NodeDocument
import Sodium
import Syscalls

struct JoinCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "join-command",
        abstract: "Prints the line that makes another machine an uplink of an EdgeNode.",
        discussion: """
            The token in it is a secret: whoever has it can be that uplink. It is shown once; --renew makes another and ends what came by the \
            former, --revoke only ends it. The uplink is told its bindings by a link, so the EdgeNode needs one among spec.tunnel.carriers.
            """)

    @Argument(help: "The EdgeNode, NAME or NAMESPACE/NAME.")
    var edgeNode: String

    @Option(help: "The state folder of `tidegate standalone`.")
    var state: String

    @Option(
        help: """
            Which uplink, from 0 to spec.uplink.replicas - 1. Default: the first from 1 on that has not joined; 0 runs beside the controller.
            """)
    var uplink: Int?

    @Flag(help: "Make another token, and end the uplink that came by the former.")
    var renew = false

    @Flag(help: "Make no token, and end the uplink that came by the former.")
    var revoke = false

    func validate() throws {
        if renew, revoke { throw ValidationError("--renew and --revoke: one of them") }
        if renew || revoke, uplink == nil { throw ValidationError("--uplink: say which uplink's token is to end") }
    }

    func run() throws {
        let parts = edgeNode.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard (1...2).contains(parts.count), parts.allSatisfy({ !$0.isEmpty }) else {
            throw ValidationError("want NAME or NAMESPACE/NAME, not \(printable(edgeNode))")
        }
        let node = ObjectName(namespace: parts.count == 2 ? parts[0] : "default", name: parts[parts.count - 1])
        let desk = JoinDesk(path: state)
        guard let bytes = try desk.document(of: node) else {
            throw Failure("\(state) has no uplinks of EdgeNode \(node): wait until `tidegate status` says that it is enrolled")
        }
        let document = try DocumentJSON.decode(UplinkDocument.self, from: bytes)
        guard document.owner.namespace == node.namespace, document.owner.name == node.name else {
            throw Failure("\(state) has no uplinks of EdgeNode \(node)")
        }
        guard document.content.link != nil else {
            throw Failure(
                "EdgeNode \(node) has WireGuard alone, and an uplink elsewhere is told its bindings by a link: add TLS, WebSocket or SSH to "
                    + "spec.tunnel.carriers")
        }
        try desk.alone(with: node) { try perform(desk, node, document) }
    }

    private func perform(_ desk: JoinDesk, _ node: ObjectName, _ document: UplinkDocument) throws {
        let joined = try desk.joined(node)
        let ordinals = document.content.replicas.map(\.ordinal).sorted()
        guard let ordinal = uplink ?? ordinals.first(where: { $0 > 0 && joined[$0] == nil }) else {
            throw Failure(
                "EdgeNode \(node) has \(ordinals.count) uplinks, of which the first runs beside the controller and all others have joined; "
                    + "raise spec.uplink.replicas, or take one by --uplink")
        }
        guard ordinals.contains(ordinal) else {
            throw Failure("EdgeNode \(node) has no uplink \(ordinal): its spec.uplink.replicas make \(ordinals.count), from 0 on")
        }
        if revoke {
            _ = try desk.replaceKey(ordinal: ordinal, of: node)
            try desk.forget(ordinal: ordinal, of: node)
            return print(
                "the token of uplink \(ordinal) of EdgeNode \(node) is void; its links end when the controller has looked")
        }
        if let shown = joined[ordinal], !renew {
            throw Failure(
                "the token of uplink \(ordinal) was shown at \(printable(shown)), and is shown once; --renew makes another and ends that one"
            )
        }
        let key: WireGuardPrivateKey?
        if renew { key = try desk.replaceKey(ordinal: ordinal, of: node) } else { key = try desk.key(ordinal: ordinal, of: node) }
        guard let key else { throw Failure("uplink \(ordinal) of EdgeNode \(node) has no key yet; is the controller running?") }
        let token = try JoinToken(
            document: try document.alone(ordinal, key), key: key, opener: try desk.makeHandoverKey().opener())
        try desk.note(ordinal: ordinal, of: node, at: Date().formatted(.iso8601))
        var line = Array("echo ".utf8)
        line.reserveCapacity(JoinToken.longest)
        var text = try token.text()
        line += text + Array(" | uplink join -\n".utf8)
        defer {
            zero(&text)
            zero(&line)
        }
        try Descriptor(borrowing: STDOUT_FILENO).writeAll(line)
    }
}

extension UplinkDocument {
    /// What one uplink begins with: no forwards, and of the others nothing.
    fileprivate func alone(_ ordinal: Int, _ key: WireGuardPrivateKey) throws -> UplinkDocument {
        var content = content
        content.forwards = []
        (content.deniedTargets, content.allowedTargets) = (nil, nil)
        content.replicas = try content.replicas.filter { $0.ordinal == ordinal }.map {
            UplinkReplica(ordinal: ordinal, address: $0.address, publicKey: try key.publicKey())
        }
        // Another than that of the document in force: the uplink does not have that yet.
        return UplinkDocument(owner: owner, hash: try content.digest(), content: content)
    }
}
