import Glibc
import Netlink
import NetlinkMessages
import RouteNetlink
import TestNetwork
import Testing

@Suite struct NetlinkSocketTests {
    private let namespace: TestNamespace

    init() throws { namespace = try TestNamespace("kernel") }

    @Test func namesTheRequestTheKernelRefuses() throws {
        let error = try namespace.inside {
            #expect(throws: NetlinkError.self) {
                try NetlinkSocket(.route).request(Link.get(try InterfaceName(parsing: "none")))
            }
        }
        #expect(error?.errno == ENODEV)
        #expect("\(try #require(error))" == "RTM_GETLINK none: ENODEV: No such device")
    }

    @Test func saysWhatTheKernelExplains() throws {
        let error = try namespace.inside {
            #expect(throws: NetlinkError.self) {
                try NetlinkSocket(.route).request(Link.create(try InterfaceName(parsing: "x0"), kind: "no-such-kind"))
            }
        }
        #expect(
            "\(try #require(error))" == "RTM_NEWLINK x0 of kind no-such-kind: EOPNOTSUPP: Unknown device type; "
                + "the kernel, or a module it has not loaded, does not support this")
    }

    @Test func dumpsMoreThanOneDatagramHolds() throws {
        let lines = (0..<1500).map { "address add 10.9.\($0 / 250).\($0 % 250 + 1)/32 dev lo" }
        try namespace.execute("sh", "-c", "printf '%s\\n' '\(lines.joined(separator: "' '"))' | ip -batch -")
        let count = try namespace.inside { try NetlinkSocket(.route).dump(InterfaceAddress.list()).count }
        #expect(count >= 1500)
    }

    @Test func namesTheMessageOfABatchThatFailed() throws {
        let (error, mtu) = try namespace.inside {
            let socket = try NetlinkSocket(.route)
            let name = try InterfaceName(parsing: "lo")
            let lo = try Link(try #require(try socket.request(Link.get(name)).first))
            let missing = InterfaceAddress(try IPPrefix(parsing: "10.9.9.9/32"), on: lo.index).delete(linkName: name)
                .adding(.acknowledge)
            let error = #expect(throws: NetlinkError.self) {
                try socket.transact([lo.setMTU(1500).adding(.acknowledge), missing])
            }
            // The next request on the same socket gets its own answer.
            return (error, try Link(try #require(try socket.request(Link.get(name)).first)).mtu)
        }
        #expect("\(try #require(error))".hasPrefix("RTM_DELADDR 10.9.9.9/32 on lo: EADDRNOTAVAIL"))
        #expect(mtu == 1500)
    }

    @Test func givesUpWhenNothingAnswers() throws {
        // NLMSG_NOOP without NLM_F_ACK: the kernel has nothing to say.
        let silent = NetlinkMessage(type: 1, flags: [], header: [], description: "nothing")
        let error = try namespace.inside {
            #expect(throws: NetlinkError.self) { try NetlinkSocket(.route, timeout: .milliseconds(50)).dump(silent) }
        }
        #expect(error?.cause == .timedOut(.milliseconds(50)))
    }

    @Test func answersABatchOfThousandsOfMessages() throws {
        let count = try namespace.inside {
            let socket = try NetlinkSocket(.route)
            let name = try InterfaceName(parsing: "lo")
            let lo = try Link(try #require(try socket.request(Link.get(name)).first))
            let prefixes = try (0..<3000).map { try IPPrefix(parsing: "10.\($0 / 250).\($0 % 250).1/32") }
            try socket.transact(prefixes.map { InterfaceAddress($0, on: lo.index).add(linkName: name).adding(.acknowledge) })
            return try socket.dump(InterfaceAddress.list()).count
        }
        #expect(count >= 3000)
    }
}
