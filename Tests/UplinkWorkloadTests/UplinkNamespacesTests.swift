import EdgeAPI
import Testing
import UplinkWorkload

@Suite struct UplinkNamespacesTests {
    @Test(arguments: [
        ("*", "a", "tunnel", true), ("tunnel", "a", "tunnel", true), ("tunnel", "a", "other", false), ("", "a", "tunnel", false),
        ("a:ua, b:ub", "a", "ua", true), ("a:ua,b:ub", "a", "ub", false), ("a:ua,b:ub", "c", "ua", false),
        ("*,a:ua", "b", "ua", false), ("*,a:ua", "b", "tunnel", true), ("*,a:ua", "a", "tunnel", true),
        ("ua,a:ua", "b", "ua", true),
    ])
    func eachHasItsOwn(list: String, tenant: String, namespace: String, isAllowed: Bool) {
        #expect(UplinkNamespaces(list).allow(namespace, to: tenant) == isAllowed)
    }

    @Test func theRefusalNamesFieldFlagAndWhatIsAllowed() throws {
        var policy = UplinkPolicy()
        policy.namespaces = UplinkNamespaces("tunnel,a:ua")
        let problem = try #require(policy.problem(with: .init(namespace: "ua"), of: "b"))
        #expect(
            problem.hasPrefix("spec.uplink.namespace: EdgeNodes of namespace b may not have their uplinks in ua, but in tunnel (")
        )
        #expect(problem.contains("--uplink-namespaces"))
    }
}
