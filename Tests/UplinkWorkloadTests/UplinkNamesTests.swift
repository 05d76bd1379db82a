import Documents
import EdgeAPI
import JSON
import KubernetesAPI
import NetworkTypes
import Testing
import UplinkWorkload

@Suite struct UplinkNamesTests {
    /// Names as an EdgeNode may have them, at their limits.
    static let names = [
        "a", "0", "edge", "9-lives", "a" + String(repeating: "-", count: 43) + "b", String(repeating: "7", count: 45),
    ]

    @Test(arguments: names) func theAPITakesEveryNameAndLabel(_ name: String) throws {
        let node = try node(name, UplinkSpec(replicas: 253))
        // The list above is of names that an EdgeNode can have.
        #expect(EdgeNode.decode(FieldNode(value: node.fieldValue)).value != nil)
        for object in try UplinkObjects(of: node, settings).applied() {
            let value = FieldNode(value: try #require(object.value))
            #expect(isDNSLabel(object.name.name) && isDNSLabel(object.name.namespace))
            for labels in [
                value.at("metadata", "labels"), value.at("spec", "template", "metadata", "labels"), value.at("spec", "selector"),
            ] {
                for (key, value) in labels?.texts ?? [:] {
                    #expect(key.hasPrefix("app.kubernetes.io/"))
                    #expect(isDNSLabel(value))
                }
            }
        }
        let names = UplinkNames(of: node)
        #expect(isDNSLabel(names.keysSecret.name))
        // RFC 1035: a Service's name begins with a letter.
        #expect(names.service.name.first?.isLetter == true)
        // The label `statefulset.kubernetes.io/pod-name`, and the host's name.
        #expect(isDNSLabel(names.pod(ordinal: 252).name))
        // The label `controller-revision-hash`: name, `-`, at most ten digits.
        #expect(names.statefulSet.name.utf8.count + 11 <= 63)
    }

    @Test func namesAreThoseOfTheDesign() throws {
        let names = UplinkNames(of: try node("edge", UplinkSpec(namespace: "tunnel")))
        #expect(names.statefulSet.description == "tunnel/edge-uplink")
        #expect(names.service.description == "tunnel/edge-uplink")
        #expect(names.configMap.description == "tunnel/edge-uplink-config")
        #expect(names.keysSecret.description == "tunnel/edge-uplink-keys")
        #expect(names.podDisruptionBudget.description == "tunnel/edge-uplink")
        #expect(names.pod(ordinal: 2).description == "tunnel/edge-uplink-2")
        #expect(
            names.all.map { "\($0.resource.kind) \($0.name.name)" } == [
                "StatefulSet edge-uplink", "PodDisruptionBudget edge-uplink", "Service edge-uplink",
                "ConfigMap edge-uplink-config", "Secret edge-uplink-keys",
            ])
    }

    /// What an EdgeNode is called gives nobody another's names, of either kind.
    @Test(arguments: names) func qualifiedNamesAreNobodyElses(_ name: String) throws {
        let own = UplinkNames(of: try node(name)).qualified
        #expect(own.isQualified)
        #expect(isDNSLabel(own.keysSecret.name) && isDNSLabel(own.pod(ordinal: 252).name) && isDNSLabel(own.service.name))
        #expect(own.statefulSet.name.utf8.count + 11 <= 63)
        for (_, name) in own.all {
            // A plain name ends in one of these.
            for end in ["-uplink", "-uplink-config", "-uplink-keys"] { #expect(!name.name.hasSuffix(end)) }
        }
        var other = try node(name)
        other.metadata.namespace = "other"
        #expect(Set(UplinkNames(of: other).qualified.all.map(\.name.name)).isDisjoint(with: own.all.map(\.name.name)))
        #expect(own.selector != UplinkNames(of: try node(name)).selector)
        #expect(own.ordinal(ofPod: own.pod(ordinal: 7).name) == 7)
    }

    @Test func aServiceBeginsWithALetter() throws {
        #expect(UplinkNames(of: try node("9-lives")).service.name == "en-9-lives-uplink")
        #expect(UplinkNames(of: try node("9-lives")).statefulSet.name == "9-lives-uplink")
    }

    @Test(arguments: [
        ("edge-uplink-0", 0), ("edge-uplink-252", 252), ("edge-uplink", nil), ("edge-uplink-", nil), ("edge-uplink-00", nil),
        ("edge-uplink-+1", nil), ("edge-uplink--1", nil), ("edge-uplink-1-2", nil), ("other-edge-uplink-1", nil),
        ("edge-uplink-99999999999999999999", nil), ("edge-uplink-١", nil),
    ])
    func podsAreKnownByTheirOrdinals(pod: String, ordinal: Int?) throws {
        #expect(UplinkNames(of: try node()).ordinal(ofPod: pod) == ordinal)
    }
}
