import Documents
import EdgeAPI
import JSON
import KubernetesAPI
import LeaseElection
import Sodium

@testable import KubernetesClient

/// The API server's answers: a watch, cut where 0xFF stands in the input; a Status; a list's items as the controller decodes them.
@Sendable func fuzzWatch(_ input: [UInt8]) {
    let pieces = input.split(separator: 0xFF, omittingEmptySubsequences: false).map(Array.init)
    let cut = frames(pieces)
    require(cut == frames([Array(pieces.joined())]), "where a watch is cut changes nothing")
    for line in cut ?? [] {
        require(!line.isEmpty && !line.contains(0x0A), "an event is one line")
        do throws(APIError) {
            let event = try WatchEvent(line: line)
            switch event {
            case .added(let object), .modified(let object), .deleted(let object): decode(object)
            case .bookmark(let version, _): require(!version.isEmpty, "a bookmark has a version")
            case .error(let status): requirePrintable(status.description)
            }
            _ = event.resourceVersion
        } catch {
            requirePrintable(error.description)
        }
    }
    requirePrintable(APIStatus(code: nil, body: input).description)
    if let object = try? FieldNode(json: input, replacesNUL: true) { decode(object) }
}

/// Nil when the watch is no stream of lines.
private func frames(_ pieces: [[UInt8]]) -> [[UInt8]]? {
    var framer = WatchFramer(limit: 512)
    var lines: [[UInt8]] = []
    do throws(APIError) {
        for piece in pieces { lines += try framer.feed(piece) }
        try framer.finish()
        return lines
    } catch {
        return nil
    }
}

private func decode(_ object: FieldNode) {
    let node = EdgeNode.decode(object, unknownFields: .ignored)
    let binding = PortBinding.decode(object, unknownFields: .ignored)
    let secret = Secret.decode(object, unknownFields: .ignored)
    let service = Service.decode(object)
    for problem in node.problems + binding.problems + secret.problems + service.problems {
        requirePrintable(problem.description)
    }
    if let node = node.value {
        require(EdgeNode.decode(FieldNode(value: node.fieldValue)).value == node, "an EdgeNode is read as what it was")
    }
    if let binding = binding.value {
        require(PortBinding.decode(FieldNode(value: binding.fieldValue)).value == binding, "a PortBinding is read as what it was")
    }
    if let lease = try? Lease(object) {
        require(lease.record.transitions >= 0, "a Lease changed hands never or more often")
    }
    for item in object["items"]?.items ?? [] where item["items"] == nil { decode(item) }
}

/// A kubeconfig with the way into a cluster that it describes; what an exec plugin prints.
@Sendable func fuzzKubeconfig(_ input: [UInt8]) {
    do throws(ClusterAccessError) {
        let kubeconfig = try Kubeconfig(input, file: "/home/user/.kube/config")
        require(try? kubeconfig.access(context: nil))
        for name in kubeconfig.contexts.keys.sorted().prefix(4) { require(try? kubeconfig.access(context: name)) }
    } catch {
        requirePrintable(error.description)
    }
    do throws(ExecProblem) {
        let answer = try ExecAnswer(input, apiVersion: "client.authentication.k8s.io/v1")
        require(answer.token != nil || answer.clientCertificate != nil, "an answer has credentials")
    } catch {
        requirePrintable(error.message)
    }
}

private func require(_ access: ClusterAccess?) {
    guard let access else { return }
    require((1...65535).contains(access.server.port), "a server has a port")
    require(access.server.host.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }, "a host is plain")
    require(access.server.basePath.isEmpty || access.server.basePath.hasPrefix("/"), "a path begins with a slash")
    requirePrintable(access.server.description)
    requirePrintable(access.origin)
    for header in access.impersonation { require(!header.value.utf8.contains { $0 < 0x20 }, "a header is one line") }
}
