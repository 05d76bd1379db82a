import HostNetwork
import NetworkTypes
import Testing

@Suite struct SysctlTests {
    @Test(arguments: ["net.core.rmem_max", "net/ipv4/conf/eth0.1/rp_filter", "fs.file-max"])
    func acceptsKey(text: String) throws {
        #expect(try SysctlKey(parsing: text).description == text)
    }

    @Test func writesDotsWhereItCan() throws {
        #expect(try SysctlKey(parsing: "net/core/rmem_max").description == "net.core.rmem_max")
    }

    @Test(arguments: ["", "net", "net..x", "net/../../etc/passwd", "net.core.\n", "net.core.a b", "/etc/x", "net/x/."])
    func refusesKey(text: String) {
        #expect(throws: InvalidValue.self) { try SysctlKey(parsing: text) }
    }

    @Test func readsASetting() throws {
        #expect(try Sysctl.read(SysctlKey(parsing: "kernel.ostype")) == "Linux")
        #expect(try Sysctl.read(SysctlKey(parsing: "kernel.no_such_setting")) == nil)
    }

    @Test func writesNothingWhenTheValueStands() throws {
        #expect(try Sysctl.set(SysctlKey(parsing: "kernel.ostype"), to: " Linux\n") == nil)
    }
}
