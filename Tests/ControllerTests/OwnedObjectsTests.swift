import Documents
import EdgeAPI
import Enrollment
import Fixtures
import JSON
import KubernetesAPI
import NetworkTypes
import Reconcilers
import Sodium
import Testing

@testable import Controller

/// What is kept of owned objects and pods, and what it says of our own writes.
@Suite struct OwnedObjectsTests {
    private func object(_ fields: FieldMembers, metadata: FieldMembers = [:]) -> OwnedObject {
        let base: FieldMembers = [
            "name": "edge-uplink", "annotations": ["tunnel.achetronic.com/edge-node": "default/edge"],
        ]
        var all = fields
        all["metadata"] = .object(base.merging(metadata))
        return OwnedObject(FieldNode(value: .object(all)))
    }

    @Test func comparesAllButWhatOthersKeepChanging() {
        let good = object(["spec": ["replicas": 3], "data": ["a": "b"]])
        #expect(good.owner == ObjectName(namespace: "default", name: "edge"))
        let same = [
            object(["spec": ["replicas": 3], "data": ["a": "b"], "status": ["readyReplicas": 2], "kind": "StatefulSet"]),
            object(
                ["spec": ["replicas": 3], "data": ["a": "b"]],
                metadata: [
                    "resourceVersion": "7", "generation": 4, "uid": "u", "creationTimestamp": "T",
                    "managedFields": [["manager": "kubectl"]],
                ]),
        ]
        for one in same { #expect(one == good) }
        let others = [
            object(["spec": ["replicas": 2], "data": ["a": "b"]]), object(["spec": ["replicas": 3], "data": ["a": "c"]]),
            object(["spec": ["replicas": 3]]), object(["spec": ["replicas": "3"], "data": ["a": "b"]]),
            object(["spec": ["replicas": 3], "data": ["a": "b"]], metadata: ["labels": ["x": "y"]]),
            object(["spec": ["replicas": 3, "status": "x"], "data": ["a": "b"]]),
            object(["spec": ["replicas": 3], "data": ["a": "b", "status": .null]]),
        ]
        for one in others { #expect(one.content != good.content) }
        #expect(Set(others.map(\.content)).count == others.count)
    }

    /// One object of a megabyte costs as much as one of a few bytes once it is decoded.
    @Test func keepsAsLittleOfALargeObject() {
        let large = object(["data": ["document": .string(String(repeating: "x", count: 1 << 20))]])
        #expect(large.content.bytes.count == 32)
        #expect(MemoryLayout.size(ofValue: large) <= 64)
    }

    @Test func namesNoOwnerWhereNoneIsNamed() {
        for text in ["", "edge", "a/b/c"] {
            #expect(object([:], metadata: ["annotations": ["tunnel.achetronic.com/edge-node": .string(text)]]).owner == nil)
        }
    }

    /// A tenant's thousand EdgeNodes, each with uplinks in a namespace that is not there, cost few watches, and others none of theirs.
    @Test func followsFewNamespacesOfEachTenant() throws {
        func node(_ number: Int, _ tenant: String, _ namespace: String) throws -> EdgeNode {
            var node = try edgeNode("edge-\(number)", namespace: tenant)
            node.metadata.creationTimestamp = "2026-11-29T12:00:\(10 + number % 50)Z"
            node.spec.uplink.namespace = namespace
            return node
        }
        let honest = try [node(9, "team", "tunnel"), node(49, "team", "edges"), node(8, "team", "tunnel")]
        let many = try (0..<1000).map { try node($0, "mallory", "made-up-\($0)") }
        let followed = OwnedObjects.namespaces(of: many + honest)
        #expect(followed.isSuperset(of: ["tunnel", "edges"]))
        #expect(followed.count == 2 + OwnedObjects.mostNamespaces)
        // The oldest, so that what is made later changes nothing.
        let first = try OwnedObjects.namespaces(of: many.prefix(8) + [node(60, "mallory", "later")])
        #expect(first == Set((0..<8).map { "made-up-\($0)" }))
    }

    private struct Case {
        var what: String
        var isHeld = true
        var isSeen = false
        var sight: Sight
        var age = 1.0
        var standing: KnownObject.Standing
    }

    @Test func tellsOurOwnWritesFromOthers() {
        let ours = object(["spec": 1])
        let other = object(["spec": 2])
        let cases = [
            Case(what: "as it was written", sight: .present(resourceVersion: "10", ours), standing: .right),
            Case(what: "with a newer status", sight: .present(resourceVersion: "12", ours), standing: .right),
            Case(what: "edited", sight: .present(resourceVersion: "12", other), standing: .deviating),
            Case(what: "the watch is behind our write", sight: .present(resourceVersion: "9", other), standing: .right),
            Case(what: "not shown yet", sight: .absent, standing: .unsure),
            Case(what: "never shown", sight: .absent, age: 3, standing: .deviating),
            Case(what: "deleted", isSeen: true, sight: .absent, standing: .deviating),
            Case(what: "not wanted, not there", isHeld: false, sight: .absent, age: 100, standing: .right),
            Case(what: "just deleted by us", isHeld: false, sight: .present(resourceVersion: "9", ours), standing: .unsure),
            Case(
                what: "made by somebody, not wanted", isHeld: false, sight: .present(resourceVersion: "9", ours), age: 3,
                standing: .deviating),
            Case(what: "no watch", sight: .unknown, age: 179, standing: .right),
            Case(what: "no watch for long", sight: .unknown, age: 181, standing: .deviating),
        ]
        let now = ContinuousClock.now
        for one in cases {
            var known = KnownObject(
                value: nil, resourceVersion: one.isHeld ? "10" : "", content: one.isHeld ? ours.content : nil,
                at: now - .seconds(one.age))
            if one.isSeen { _ = known.standing(.present(resourceVersion: "10", ours), now: now) }
            #expect(known.standing(one.sight, now: now) == one.standing, "\(one.what)")
        }
    }

    /// Two who put back what the other changes must not keep each other busy.
    @Test func putsBackAtABoundedPace() {
        let start = ContinuousClock.now
        var pace = Pace.ofRepairs(start)
        var repairs = 0
        for tick in 0..<6000 where pace.wait(now: start + .milliseconds(100 * tick)) == nil { repairs += 1 }
        #expect((60...66).contains(repairs), "\(repairs) in ten minutes")
        #expect(!pace.isIdle(now: start + .seconds(601)))
        #expect(pace.isIdle(now: start + .seconds(700)))
        #expect(pace.wait(now: start + .seconds(700)) == nil)
    }

    @Test func namesWhoWroteLast() {
        func entry(_ manager: String, _ time: String, _ subresource: String? = nil) -> FieldValue {
            var fields: FieldMembers = ["manager": .string(manager), "time": .string(time)]
            if let subresource { fields["subresource"] = .string(subresource) }
            return .object(fields)
        }
        let entries: [FieldValue] = [
            entry("kubectl-edit", "2026-11-28T10:00:00Z"), entry("kubectl-patch", "2026-11-28T11:00:00Z"),
            entry("tidegate", "2026-11-28T12:00:00Z"), entry("kube-controller-manager", "2026-11-28T12:00:00Z", "status"),
        ]
        #expect(lastWriter(of: FieldNode(value: ["metadata": ["managedFields": .array(entries)]])) == "kubectl-patch")
        #expect(lastWriter(of: FieldNode(value: ["metadata": [:]])) == nil)
    }

    // MARK: pods

    private func pod(_ status: FieldValue, metadata: FieldMembers = [:]) -> UplinkPods.Pod {
        UplinkPods.Pod(FieldNode(value: ["metadata": .object(metadata), "status": status]))
    }

    @Test func readsPods() {
        let ready: FieldValue = ["phase": "Running", "conditions": [["type": "Ready", "status": "True"]]]
        #expect(pod(ready, metadata: ["uid": "u"]) == UplinkPods.Pod(uid: "u", isReady: true, isLeaving: false, trouble: nil))
        #expect(pod(ready, metadata: ["deletionTimestamp": "T"]).isLeaving)
        #expect(pod(["podIP": "10.244.1.7"]).address == IPAddress("10.244.1.7") && pod(["podIP": "no"]).address == nil)
        #expect(pod(["phase": "Failed", "reason": "Evicted", "message": "disk"]).isLeaving)
        #expect(pod(["phase": "Failed", "reason": "Evicted", "message": "disk"]).trouble == "Evicted (disk)")
        let waiting: FieldValue = [
            "containerStatuses": [
                [
                    "state": ["waiting": ["reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed container"]],
                    "lastState": ["terminated": ["reason": "Error", "exitCode": 1]],
                ]
            ]
        ]
        #expect(pod(waiting).trouble == "CrashLoopBackOff (Error, exit code 1)", "not the seconds of the back-off")
        let image: FieldValue = [
            "containerStatuses": [["state": ["waiting": ["reason": "ImagePullBackOff", "message": "no such\nimage"]]]]
        ]
        #expect(pod(image).trouble == #"ImagePullBackOff (no such\nimage)"#)
        let pending: FieldValue = [
            "conditions": [["type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"]]
        ]
        #expect(pod(pending) == UplinkPods.Pod(uid: "", isReady: false, isLeaving: false, trouble: "Unschedulable (0/2 nodes)"))
        let long: FieldValue = ["reason": .string(String(repeating: "x", count: 100_000))]
        #expect((pod(long).trouble?.count ?? 0) <= 161)
    }

    @Test func leavesAPodThatIsNobodys() {
        #expect(WatchedPod.decode(FieldNode(value: ["metadata": ["name": "x"]])).value == nil)
    }
}
