import NetlinkMessages
import NetworkTypes
import Testing

@Suite struct InterfaceNameTests {
    @Test(arguments: ["wg-relay", "eth0.100", "a", "abcdefghijklmno"])
    func accepts(text: String) throws {
        #expect(try InterfaceName(parsing: text).description == text)
    }

    @Test(arguments: ["", ".", "..", "abcdefghijklmnop", "a b", "a/b", "../x", "a\n", "eth0:1", "a%d", "é", "$(x) \0"])
    func refuses(text: String) {
        #expect(throws: InvalidValue.self) { try InterfaceName(parsing: text) }
    }

    @Test(arguments: ["10.200.0.1/24", "0.0.0.0/0", "2001:db8::1/128"])
    func acceptsPrefix(text: String) throws {
        #expect(try IPPrefix(parsing: text).description == text)
    }

    @Test(arguments: ["10.200.0.1", "10.200.0.1/33", "2001:db8::1/129", "10.200.0.1/-1", "10.200.0.1/+8", "10.0.0.0/", "/8"])
    func refusesPrefix(text: String) {
        #expect(throws: InvalidValue.self) { try IPPrefix(parsing: text) }
    }
}
