import EdgeAPI
import JSON
import Testing
import UplinkWorkload

/// What an EdgeNode may ask for the pods of its uplinks.
@Suite struct UplinkPolicyTests {
    private func problem(_ change: (inout UplinkSpec) -> Void, _ policy: UplinkPolicy = UplinkPolicy()) -> String? {
        var spec = UplinkSpec()
        change(&spec)
        return policy.problem(with: spec, of: "team")
    }

    @Test(arguments: ["1-one-port.yaml", "4-high-availability.yaml"])
    func samplesPass(file: String) throws {
        #expect(UplinkPolicy().problem(with: try sample(file).spec.uplink, of: "default") == nil)
    }

    @Test func numbersHaveALimit() {
        #expect(problem { $0.replicas = 16 } == nil)
        #expect(problem { $0.replicas = 253 }?.contains("at most 16 are allowed here, given 253 (--max-uplink-replicas)") == true)
        #expect(problem({ $0.replicas = 253 }, .open) == nil)
    }

    @Test func keysArePickedByPatterns() {
        #expect(problem { $0.labels = ["team": "a", "app.kubernetes.io/part-of": "b"] } == nil)
        #expect(problem { $0.labels = ["azure.workload.identity/use": "true"] }?.contains("azure.workload.identity/use") == true)
        #expect(problem { $0.annotations = ["prometheus.io/scrape": "true", "note": "x"] } == nil)
        #expect(problem { $0.annotations = ["k8s.v1.cni.cncf.io/networks": "x"] }?.hasSuffix("(--uplink-annotations)") == true)
        var policy = UplinkPolicy()
        policy.annotations = KeyPatterns("*.example.com/*, exact")
        #expect(problem({ $0.annotations = ["a.example.com/x": "", "exact": ""] }, policy) == nil)
        #expect(problem({ $0.annotations = ["example.com/x": ""] }, policy) != nil)
        #expect(problem({ $0.annotations = ["exactly": ""] }, policy) != nil)
        policy.annotations = KeyPatterns("")
        #expect(problem({ $0.annotations = ["exact": ""] }, policy)?.contains("but none") == true)
    }

    @Test func patternsStopAtASlash() {
        #expect(KeyPatterns("*").allow("a"))
        #expect(!KeyPatterns("*").allow("a/b"))
        #expect(!KeyPatterns("*").allow(""))
        #expect(KeyPatterns("**").allow(""))
        #expect(KeyPatterns("a*c").allow("abcbc") && !KeyPatterns("a*c").allow("abcb"))
        #expect(KeyPatterns("*/b*").allow("x.y/bc") && !KeyPatterns("*/b*").allow("x.y/cb"))
    }

    @Test func tolerationsOfEveryTaintAreRefused() {
        func tolerates(_ fields: FieldMembers) -> String? { problem { $0.tolerations = [.object(fields)] } }
        #expect(tolerates(["key": "dedicated", "operator": "Equal", "value": "edge"]) == nil)
        #expect(tolerates(["key": "node.kubernetes.io/unreachable", "operator": "Exists"]) == nil)
        #expect(tolerates(["operator": "Exists"])?.contains("one of every taint") == true)
        #expect(tolerates(["key": "", "operator": "Exists"]) != nil)
        #expect(tolerates(["key": "node-role.kubernetes.io/control-plane"]) != nil)
    }

    @Test func resourcesHaveLimits() {
        func asks(_ field: String, _ amounts: FieldMembers) -> String? {
            problem { $0.resources = .object([field: .object(amounts)]) }
        }
        #expect(asks("requests", ["cpu": "4", "memory": "4096Mi"]) == nil)
        #expect(asks("limits", ["cpu": 4, "memory": "1e9"]) == nil)
        #expect(asks("requests", ["cpu": "4001m"])?.contains("requests.cpu: at most 4 is allowed here, given 4001m") == true)
        #expect(asks("limits", ["cpu": 5]) != nil)
        #expect(asks("limits", ["memory": "5G"])?.hasSuffix("(--max-uplink-memory)") == true)
        #expect(asks("limits", ["memory": "5e9"]) != nil)
        #expect(asks("limits", ["ephemeral-storage": "1Ti"]) != nil)
        #expect(asks("limits", ["nvidia.com/gpu": 1])?.contains("nvidia.com/gpu is not allowed here") == true)
        #expect(problem { $0.resources = .object(["claims": .array([])]) } != nil)
        #expect(problem({ $0.resources = .object(["limits": ["memory": "1Ei", "x/y": 1]]) }, .open) == nil)
    }

    @Test func affinitiesStayAtHome() {
        func prefers(_ term: FieldValue) -> FieldValue {
            ["podAntiAffinity": ["requiredDuringSchedulingIgnoredDuringExecution": .array([term])]]
        }
        #expect(problem { $0.affinity = prefers(["topologyKey": "kubernetes.io/hostname"]) } == nil)
        for key in ["namespaces", "namespaceSelector"] {
            let affinity = prefers(.object(["topologyKey": "kubernetes.io/hostname", key: [:]]))
            #expect(problem { $0.affinity = affinity }?.contains("--allow-foreign-affinity") == true)
            #expect(problem({ $0.affinity = affinity }, .open) == nil)
        }
    }

    @Test(arguments: ["", "x", "1x", "--1", "1e", "Mi", "1 Mi"]) func isNoQuantity(text: String) {
        #expect(Quantity(text) == nil)
    }

    @Test func quantitiesCompare() throws {
        let order = ["0", "1n", "100u", "500m", "0.75", "1", "1k", "1Ki", "1e6", "1Mi", "1G", "1Gi", "1T", "2E"]
        let amounts = try order.map { try #require(Quantity($0)) }
        #expect(amounts == amounts.sorted())
        #expect(Set(amounts).count == order.count)
        #expect(Quantity("1000m") == Quantity("1"))
    }
}
