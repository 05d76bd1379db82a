import Certificates
import EdgeAPI
import Enrollment
import FoundationEssentials
import NodeDocument

/// What is wrong with the Secrets of `manifests`, as the controller's own readers would say it at run time: an object's name, the
/// Secret's place in `manifests`, and the reason.
///
/// A Secret that an EdgeNode logs in with is read with that EdgeNode; any other by the keys that it has. What an object refers to
/// and is not there may be elsewhere, and is no problem.
func secretProblems(_ manifests: [Manifest], now: Date) -> [(index: Int, message: String)] {
    var result: [(index: Int, message: String)] = []
    var places: [ObjectName: (index: Int, secret: Secret)] = [:]
    for case (let index, .secret(let secret)) in manifests.enumerated() { places[secret.metadata.objectName] = (index, secret) }
    var logins: Set<ObjectName> = []
    for case .edgeNode(let node) in manifests {
        let name = node.spec.ssh.secretRef.objectName(in: node.metadata)
        guard let (index, secret) = places[name] else { continue }
        logins.insert(name)
        do {
            _ = try NodeTarget(spec: node.spec, secret: secret)
        } catch {
            result.append((index, "EdgeNode \(node.metadata.objectName) cannot use it: \(error.message)"))
        }
    }
    for (name, (index, secret)) in places.sorted(by: { $0.value.index < $1.value.index }) where !logins.contains(name) {
        if secret.data["tls.crt"] != nil || secret.data["tls.key"] != nil {
            if case .unusable(let reason) = readTLSSecret(secret, now: now) { result.append((index, reason)) }
        } else if secret.data["privateKey"] != nil, let problem = NodeTarget.keyProblem(of: secret) {
            result.append((index, problem))
        }
    }
    return result
}
