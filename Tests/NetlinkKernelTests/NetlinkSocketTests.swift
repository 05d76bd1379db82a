import CLinuxHeaders
import Glibc
import Netlink
import NetlinkMessages
import Testing

@Suite struct NetlinkSocketTests {
    @Test func namesTheRequestTheKernelRefuses() throws {
        let socket = try NetlinkSocket(.route)
        let message = NetlinkMessage(
            type: UInt16(RTM_GETLINK), flags: [], header: ifinfomsg(),
            attributes: NetlinkAttributes { $0.put(NetlinkAttributeType(IFLA_IFNAME), string: "kernel-none") },
            description: "RTM_GETLINK kernel-none")
        let error = #expect(throws: NetlinkError.self) { try socket.request(message) }
        #expect(error?.errno == ENODEV)
        #expect("\(try #require(error))".hasPrefix("RTM_GETLINK kernel-none: ENODEV: "))
    }
}
