import Documents
import EdgeAPI
import JSON
import KubernetesAPI
import Testing

@testable import LeaseElection

@Suite struct LeaseTests {
    @Test func readsTheRecordedForm() throws {
        // shared/kube-api/51-lease-renew.
        let text = """
            {"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"name":"tidegate","namespace":"rec",\
            "uid":"c9830a2e-33f4-44ee-be78-abc12e1ebb70","resourceVersion":"1587","creationTimestamp":"2026-11-21T09:50:04Z"},\
            "spec":{"holderIdentity":"a","leaseDurationSeconds":15,"acquireTime":"2026-11-21T00:00:00.000000Z",\
            "renewTime":"2026-11-21T00:00:02.123456Z","leaseTransitions":7}}
            """
        let lease = try Lease(try FieldNode(json: Array(text.utf8)))
        #expect(lease.resourceVersion == "1587")
        #expect(lease.record.holder == "a" && lease.record.duration == 15 && lease.record.transitions == 7)
        #expect(lease.record.renewed?.description == "2026-11-21T00:00:02.123456Z")
        #expect(
            Lease.patch(lease.record, onlyAt: "1587").json == """
                {"metadata":{"resourceVersion":"1587"},"spec":{"acquireTime":"2026-11-21T00:00:00.000000Z",\
                "holderIdentity":"a","leaseDurationSeconds":15,"leaseTransitions":7,"renewTime":"2026-11-21T00:00:02.123456Z"}}
                """)
        let manifest = Lease.manifest(lease.record, ObjectName(namespace: "rec", name: "tidegate"))
        let made = FieldNode(value: manifest)
        #expect(made["apiVersion"]?.text == "coordination.k8s.io/v1" && made["kind"]?.text == "Lease")
        #expect(made["metadata"]?["name"]?.text == "tidegate" && made["metadata"]?["namespace"]?.text == "rec")
        #expect(made["spec"]?["leaseTransitions"]?.integer == 7)
    }

    @Test func readsWhatOthersLeftOut() throws {
        let lease = try Lease(try FieldNode(json: Array(#"{"metadata":{"resourceVersion":"1"}}"#.utf8)))
        #expect(lease.record == Lease.Record(holder: "", duration: nil, acquired: nil, renewed: nil, transitions: 0))
        let odd =
            #"{"metadata":{"resourceVersion":"1"},"spec":{"leaseTransitions":-4,"renewTime":"yesterday","holderIdentity":null}}"#
        #expect(try Lease(try FieldNode(json: Array(odd.utf8))).record == lease.record)
        #expect(throws: APIError.self) { try Lease(try FieldNode(json: Array("{}".utf8))) }
    }
}
