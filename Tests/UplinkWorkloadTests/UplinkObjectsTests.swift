import Documents
import EdgeAPI
import JSON
import KubernetesAPI
import NetworkTypes
import Sodium
import Testing
import UplinkWorkload

@Suite struct UplinkObjectsTests {
    @Test func anEdgeNodeWithDefaultsGivesItsGolden() throws {
        let objects = try UplinkObjects(of: sample("1-one-port.yaml"), settings).applied()
        #expect(objects.compactMap(\.value).map(\.json) == (try golden("1-one-port.yaml")).map(\.value.json))
        // Below two replicas the budget goes.
        #expect(
            objects.contains(UplinkObject(.podDisruptionBudgets, ObjectName(namespace: "tunnel", name: "edge-node-uplink"), nil)))
    }

    @Test func theFullExampleGivesItsGolden() throws {
        let base = try golden("1-one-port.yaml").map(\.value)
        let expected = try golden("4-high-availability.yaml").map(\.value).map { patch in
            merged(base.first { kind($0) == kind(patch) }, patch).json
        }
        let objects = try UplinkObjects(of: sample("4-high-availability.yaml"), settings).applied()
        #expect(objects.compactMap(\.value).map(\.json) == expected)
    }

    @Test func linksAloneGiveARestrictedPod() throws {
        var node = try sample("1-one-port.yaml")
        let before = try UplinkObjects(of: node, settings).template()
        node.spec.tunnel.carriers = [.tls]
        node.spec.uplink.proxySecret = "proxy"
        node.spec.uplink.clientCertificateSecret = "uplink-tls"
        let template = try UplinkObjects(of: node, settings).template()
        #expect(template["spec"]?.value.json == (try golden("links.yaml")).first?.value.json)
        // Beside WireGuard links change nothing of the pod.
        node.spec.tunnel.carriers = [.tls, .wireGuard]
        node.spec.uplink.proxySecret = nil
        node.spec.uplink.clientCertificateSecret = nil
        #expect(try UplinkObjects(of: node, settings).template() == before)
    }

    /// RFC 7386, but that lists are merged item by item.
    private func merged(_ value: FieldValue?, _ patch: FieldValue) -> FieldValue {
        switch (value, patch) {
        case (.object(let fields)?, .object(let changes)):
            .object(fields.merging(FieldMembers(changes.map { (key: $0, value: merged(fields[$0], $1)) })))
        case (.array(let items)?, .array(let changes)): .array(zip(items, changes).map(merged))
        default: patch
        }
    }

    private func kind(_ value: FieldValue) -> FieldValue? {
        if case .object(let fields) = value { fields["kind"] } else { nil }
    }

    @Test func eachObjectNamesItselfAsItIsAddressed() throws {
        for object in try UplinkObjects(of: node("a", UplinkSpec(replicas: 2)), settings).applied() {
            let value = FieldNode(value: try #require(object.value))
            #expect(value["apiVersion"]?.text == object.resource.apiVersion)
            #expect(value["kind"]?.text == object.resource.kind)
            #expect(value.at("metadata", "name")?.text == object.name.name)
            #expect(value.at("metadata", "namespace")?.text == object.name.namespace)
        }
    }

    @Test func podsRollOnlyForTheirOwnSpec() throws {
        let before = try UplinkObjects(of: node(), settings).template()
        // Replicas, the tunnel, the VPS and quicker probes are none of the pods' business.
        var changed = try node(
            "edge", UplinkSpec(replicas: 9), check: HealthCheckSpec(interval: .seconds(1), healthyThreshold: 9))
        changed.spec.tunnel.mtu = 1280
        changed.spec.address = try HostAddress(parsing: "edge.example.com")
        #expect(try UplinkObjects(of: changed, settings).template() == before)
        #expect(try UplinkObjects(of: node(), UplinkPodSettings(image: "other")).template() != before)
    }

    @Test func immutableFieldsStayWhateverTheSpec() throws {
        let plain = try UplinkObjects(of: node(), settings).object(.statefulSets)
        let other = try UplinkObjects(
            of: node("edge", UplinkSpec(replicas: 5, labels: ["a": "b"], annotations: ["c": "d"], affinity: [:])),
            UplinkPodSettings(image: "other", environment: ["LOG_LEVEL": "debug"])
        ).object(.statefulSets)
        for field in ["serviceName", "selector", "podManagementPolicy"] {
            #expect(plain.at("spec", field) != nil)
            #expect(plain.at("spec", field) == other.at("spec", field))
        }
    }

    @Test func oursWinOverTheUsers() throws {
        let spec = UplinkSpec(
            labels: ["app.kubernetes.io/instance": "x", "team": "edge"],
            annotations: [UplinkNames.edgeNodeAnnotation: "x/y", "note": "z"])
        let template = try UplinkObjects(of: node("edge", spec), settings).template()
        #expect(template.at("metadata", "labels", "app.kubernetes.io/instance")?.text == "edge")
        #expect(template.at("metadata", "labels", "team")?.text == "edge")
        #expect(template.at("metadata", "annotations", UplinkNames.edgeNodeAnnotation)?.text == "default/edge")
        #expect(template.at("metadata", "annotations", "note")?.text == "z")
    }

    @Test func theUsersAffinityAndPlatformGoBeforeOurs() throws {
        let spec = UplinkSpec(nodeSelector: ["kubernetes.io/arch": "arm64"], affinity: ["nodeAffinity": [:]])
        let template = try UplinkObjects(of: node("edge", spec), settings).template()
        #expect(template.at("spec", "affinity")?.value == ["nodeAffinity": [:]])
        #expect(template.at("spec", "nodeSelector")?.texts == ["kubernetes.io/arch": "arm64", "kubernetes.io/os": "linux"])
    }

    @Test func theEnvironmentIsInOrderAndKeepsThePodsName() throws {
        let settings = UplinkPodSettings(image: "i", environment: ["LOG_LEVEL": "debug", "LOG_FORMAT": "text", "POD_NAME": "x"])
        let container = try #require(try UplinkObjects(of: node(), settings).template().at("spec", "containers", "0"))
        #expect(container["env"]?.items?.map { $0["name"]?.text } == ["POD_NAME", "LOG_FORMAT", "LOG_LEVEL"])
        #expect(container.at("env", "0", "valueFrom", "fieldRef", "fieldPath")?.text == "metadata.name")
    }

    /// The drain outlasts Envoy's next look, and the grace period the drain; the next pod waits until Envoy uses this one.
    @Test(arguments: [
        (HealthCheckSpec(), 15, 5),
        (
            HealthCheckSpec(
                interval: GoDuration(nanoseconds: 100_000_000), timeout: GoDuration(nanoseconds: 50_000_000), healthyThreshold: 1),
            15, 1
        ),
        (HealthCheckSpec(interval: .seconds(30), timeout: .seconds(10), healthyThreshold: 3), 48, 14),
        (HealthCheckSpec(interval: .seconds(3600), timeout: .seconds(600), healthyThreshold: 100), 4565, 701),
    ])
    func timesFollowTheHealthCheck(check: HealthCheckSpec, drain: Int64, ready: Int64) throws {
        let objects = UplinkObjects(of: try node(check: check), settings)
        let pod = try #require(try objects.template()["spec"])
        #expect(pod.at("containers", "0", "args")?.items?.last?.text == "\(drain)s")
        #expect(pod["terminationGracePeriodSeconds"]?.integer == drain + 15)
        #expect(try objects.object(.statefulSets).at("spec", "minReadySeconds")?.integer == ready)
    }

    @Test func aDocumentBeyondWhatAConfigMapHoldsIsRefused() throws {
        let objects = UplinkObjects(of: try node(), settings)
        let hash = SHA256.digest(of: "")
        _ = try objects.configMap(document: [UInt8](repeating: 0x20, count: 1 << 20), hash: hash)
        let error = #expect(throws: UplinkWorkloadError.self) {
            try objects.configMap(document: [UInt8](repeating: 0x20, count: 1 << 20 + 1), hash: hash)
        }
        #expect(error?.reason == "UplinkConfigTooLarge")
        #expect(
            error?.description.contains("1048577 bytes, more than the 1048576 that ConfigMap tunnel/edge-uplink-config") == true)
    }

    @Test func thePodPatchTouchesOneAnnotation() {
        let hash = SHA256.digest(of: "foo")
        #expect(
            UplinkObjects.podPatch(hash: hash).json
                == #"{"metadata":{"annotations":{"tunnel.achetronic.com/config-hash":"\#(hash)"}}}"#)
    }
}
