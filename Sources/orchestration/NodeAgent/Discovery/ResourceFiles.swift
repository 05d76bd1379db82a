import CLinuxHeaders
import Glibc
import Syscalls

/// The clusters and listeners in Envoy's folder, which is the working directory.
struct ResourceFiles {
    /// By their type URL. One whose file is gone, or cannot be read, stays as it was.
    private(set) var byType: [String: ResourceSet] = [:]
    private var stamps: [String: FileStamp] = [:]

    /// 65,535 listeners take some 25 MB.
    private static let limit = 64 << 20

    /// Reads what changed.
    /// - Returns: whether something did; what cannot be read, and why.
    mutating func look() -> (isChanged: Bool, complaints: [String]) {
        var isChanged = false
        var complaints: [String] = []
        for path in [EnvoyLayout.clusters, EnvoyLayout.listeners] {
            do throws(AgentError) {
                guard let stamp = try statusOf(path).map(FileStamp.init), stamp != stamps[path] else { continue }
                stamps[path] = stamp
                guard let bytes = try readFile(path, limit: Self.limit) else { continue }
                do throws(MalformedMessage) {
                    let set = try ResourceSet(bytes)
                    byType[set.typeURL] = set
                    isChanged = true
                } catch {
                    complaints.append("\(path) has \(error.reason)")
                }
            } catch {
                complaints.append(error.message)
            }
        }
        return (isChanged, complaints)
    }
}
