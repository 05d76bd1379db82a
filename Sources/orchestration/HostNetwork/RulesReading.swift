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

/// Plans a transaction anew, ten times at most, when the rules changed between the reading and the writing.
func retrying<Result>(_ body: () throws(NetlinkError) -> Result) throws(NetlinkError) -> Result {
    // ERESTART, which the kernel answers to a transaction for another generation; linux/errno.h has it, glibc's headers do not.
    let restartNeeded: Int32 = 85
    for _ in 1..<10 {
        do throws(NetlinkError) { return try body() } catch  where [restartNeeded, ENOENT, EINTR].contains(error.errno) {}
    }
    return try body()
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
