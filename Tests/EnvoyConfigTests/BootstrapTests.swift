import NetworkTypes
import Testing

@testable import EnvoyConfig

@Suite struct BootstrapTests {
    @Test func noBindingCanBeNamedLikeTheAdminCluster() {
        #expect(!isDNSLabel(adminClusterName))
    }
}
