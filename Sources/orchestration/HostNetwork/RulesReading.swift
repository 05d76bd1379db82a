import Glibc
import NFTables
import Netlink
import NetlinkMessages

// What every table of ours asks the kernel for.
extension NetlinkSocket {
    /// - Parameter query: of `RulesetQueries.table`.
    /// - Returns: empty when there is none.
    func table(_ query: NetlinkMessage) throws(NetlinkError) -> [NetlinkReply] {
        do throws(NetlinkError) {
            return try request(query)
        } catch  where error.errno == ENOENT {
            return []
        }
    }

    /// A number that each change of any rule raises.
    func rulesGeneration() throws(NetlinkError) -> UInt32 {
        let replies = try request(RulesetQueries.generation)
        return try reading(RulesetQueries.generation) { () throws(MalformedNetlink) in
            try RulesetQueries.generation(in: replies)
        }
    }
}

/// Names the request whose answer cannot be read.
func reading<Result>(
    _ query: NetlinkMessage, _ body: () throws(MalformedNetlink) -> Result
) throws(NetlinkError) -> Result {
    do throws(MalformedNetlink) {
        return try body()
    } catch {
        throw NetlinkError(request: "\(query)", cause: .malformed(error))
    }
}
