"""Rules of objects beyond what was recorded: server-side apply, validation, finalizers, owners, access."""

from __future__ import annotations

import copy
import http.client
import json
import time
import unittest
from typing import Any, Callable

from kube.double import ask
from lab.commands import CommandFailed
from kube_tests.standin import DEFINITION, GROUP, NODES, WithServer, edge_node

CONFIG_MAPS = "/api/v1/namespaces/rec/configmaps"
SETS = "/apis/apps/v1/namespaces/rec/statefulsets"
PODS = "/api/v1/namespaces/rec/pods"
MERGE = "application/merge-patch+json"


def stateful_set(name: str, **container: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": {
        "serviceName": name, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x:1", **container}]}}}}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "x:1"}], **spec}}


class Objects(WithServer):
    def eventually(self, holds: Callable[[], bool]) -> None:
        """The double's own controllers are not awaited by its answers."""
        end = time.monotonic() + 5
        while not holds():
            self.assertLess(time.monotonic(), end, "it did not come to that")
            time.sleep(0.01)


class Apply(Objects):
    def config(self, name: str, data: dict[str, str], **meta: Any) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **meta}, "data": data}

    def test_a_field_given_up_is_removed_and_a_shared_one_stays(self) -> None:
        path = f"{CONFIG_MAPS}/given"
        self.applied(path, self.config("given", {"a": "1", "b": "2", "c": "3"}), code=201)
        self.applied(path, self.config("given", {"b": "2"}), manager="other")
        self.asked("PATCH", path, {"data": {"d": "4"}}, type=MERGE)
        self.assertEqual(self.applied(path, self.config("given", {"a": "1"}))["data"], {"a": "1", "b": "2", "d": "4"})

    def test_taken_by_force_then_given_back_by_nobody(self) -> None:
        path = f"{CONFIG_MAPS}/forced"
        self.applied(path, self.config("forced", {"a": "1"}), code=201)
        said = self.applied(path, self.config("forced", {"a": "2"}), manager="other", code=409)
        self.assertEqual(said["details"]["causes"][0]["field"], ".data.a")
        self.applied(path, self.config("forced", {"a": "2"}), manager="other", force=True)
        left = self.applied(path, {name: value for name, value in self.config("forced", {}).items() if name != "data"})
        self.assertEqual(left["data"], {"a": "2"})
        self.assertEqual([one["manager"] for one in left["metadata"]["managedFields"]], ["other"])

    def test_lists_by_key(self) -> None:
        path = f"{SETS}/keys"
        body = stateful_set("keys", env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], ports=[{"containerPort": 80}])
        first = self.applied(path, body, code=201)
        again = self.applied(path, body)
        self.assertEqual(first, again, "defaults do not make an apply of the same a change")
        other = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "keys"}, "spec": {"template": {"spec": {
            "containers": [{"name": "c", "env": [{"name": "C", "value": "3"}]}]}}}}
        self.applied(path, other, manager="other")
        body["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "B", "value": "2"}]
        container = self.applied(path, body)["spec"]["template"]["spec"]["containers"][0]
        self.assertEqual([one["name"] for one in container["env"]], ["B", "C"])
        self.assertEqual(container["ports"], [{"containerPort": 80, "protocol": "TCP"}])

    def test_status_by_its_own_door(self) -> None:
        self.node("doors")
        ready = {"type": "Ready", "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2026-11-21T00:00:00Z"}
        body = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "EdgeNode", "metadata": {"name": "doors"}, "status": {"observedGeneration": 1, "conditions": [ready]}}
        path = f"{NODES}/doors/status"
        first = self.applied(path, body, force=True)
        self.assertEqual((first["status"]["conditions"], first["metadata"]["generation"]), ([ready], 1))
        self.assertEqual(self.applied(path, body, force=True)["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"])
        more = {**body, "status": {"conditions": [{**ready, "type": "Other"}]}}
        kinds = [one["type"] for one in self.applied(path, more, manager="second")["status"]["conditions"]]
        self.assertEqual(kinds, ["Ready", "Other"])
        entry = next(one for one in self.asked("GET", f"{NODES}/doors")["metadata"]["managedFields"] if one["manager"] == "tidegate")
        self.assertEqual((entry["operation"], entry["subresource"]), ("Apply", "status"))
        self.applied(f"{NODES}/absent/status", {**body, "metadata": {"name": "absent"}}, code=404)

    def test_what_apply_refuses(self) -> None:
        path = f"{CONFIG_MAPS}/bad"
        self.assertIn("fieldManager", self.asked("PATCH", path, self.config("bad", {}), type="application/apply-patch+yaml", code=422)["message"])
        self.assertIn("field not declared in schema", self.applied(path, {**self.config("bad", {}), "datta": {}}, code=500)["message"])
        twice = stateful_set("bad", env=[{"name": "A"}, {"name": "A"}])
        self.assertIn("duplicate entries for key", self.applied(f"{SETS}/bad", twice, code=500)["message"])
        self.applied(path, self.config("bad", {}, resourceVersion="7"), code=409)


class Rules(Objects):
    def test_an_update_that_changes_nothing_writes_nothing(self) -> None:
        made = self.node("same")
        self.assertEqual(self.asked("PATCH", f"{NODES}/same", {"spec": {"port": 22}}, type=MERGE), made)

    def test_patch_with_a_version_must_be_of_the_latest(self) -> None:
        made = self.node("versions")
        old = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"], "annotations": {"a": "b"}}}
        self.asked("PATCH", f"{NODES}/versions", old, type=MERGE)
        self.asked("PATCH", f"{NODES}/versions", {**old, "spec": {"port": 1}}, type=MERGE, code=409)

    def test_json_patch(self) -> None:
        self.node("jp")
        operations = [{"op": "test", "path": "/spec/port", "value": 22}, {"op": "replace", "path": "/spec/port", "value": 23},
                      {"op": "add", "path": "/metadata/annotations", "value": {"a/b": "c"}}, {"op": "remove", "path": "/metadata/annotations/a~1b"}]
        got = self.asked("PATCH", f"{NODES}/jp", operations, type="application/json-patch+json")
        self.assertEqual((got["spec"]["port"], got["metadata"].get("annotations")), (23, None))
        self.asked("PATCH", f"{NODES}/jp", operations, type="application/json-patch+json", code=422)

    def test_strategic_merge(self) -> None:
        self.made(SETS, stateful_set("sm", env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]))
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "A", "$patch": "delete"}, {"name": "B", "value": "3"}]}]}}}}
        got = self.asked("PATCH", f"{SETS}/sm", patch, type="application/strategic-merge-patch+json")
        container = got["spec"]["template"]["spec"]["containers"][0]
        self.assertEqual((container["image"], container["env"]), ("x:1", [{"name": "B", "value": "3"}]))
        self.asked("PATCH", f"{NODES}/any", {}, type="application/strategic-merge-patch+json", code=415)

    def test_status_and_generation_of_a_stateful_set(self) -> None:
        made = self.made(SETS, stateful_set("gen"))
        self.assertEqual((made["metadata"]["generation"], made["status"]), (1, {"replicas": 0, "availableReplicas": 0}))
        after = self.asked("PATCH", f"{SETS}/gen/status", {"spec": {"replicas": 9}, "status": {"replicas": 1, "readyReplicas": 1}}, type=MERGE)
        self.assertEqual((after["spec"]["replicas"], after["status"]["readyReplicas"], after["metadata"]["generation"]), (1, 1, 1))
        after = self.asked("PATCH", f"{SETS}/gen", {"spec": {"replicas": 2}, "status": {"replicas": 7}}, type=MERGE)
        self.assertEqual((after["status"]["replicas"], after["metadata"]["generation"]), (1, 2))

    def test_a_service_keeps_its_address(self) -> None:
        path = "/api/v1/namespaces/rec/services"
        made = self.made(path, {"metadata": {"name": "keep"}, "spec": {"ports": [{"port": 80}]}})
        after = self.asked("PUT", f"{path}/keep", {"metadata": {"name": "keep"}, "spec": {"ports": [{"port": 81}]}})
        self.assertEqual(after["spec"]["clusterIP"], made["spec"]["clusterIP"])
        said = self.asked("PATCH", f"{path}/keep", {"spec": {"clusterIP": "10.96.77.77", "clusterIPs": ["10.96.77.77"]}}, type=MERGE, code=422)
        self.assertIn("may not change once set", said["message"])

    def test_refusals_name_the_field(self) -> None:
        bad = stateful_set("bad")
        bad["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [{"name": "none", "mountPath": "/x"}]
        cases = [(SETS, bad, 'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "none"'),
                 (CONFIG_MAPS, {"metadata": {"name": "Bad"}}, 'metadata.name: Invalid value: "Bad": a lowercase RFC 1123 subdomain'),
                 (CONFIG_MAPS, {"metadata": {"name": "l", "labels": {"a": "b" * 64}}}, "metadata.labels: Invalid value"),
                 (CONFIG_MAPS, {"metadata": {"name": "f", "finalizers": ["x"]}}, "metadata.finalizers"),
                 ("/apis/coordination.k8s.io/v1/namespaces/rec/leases", {"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 0}},
                  "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0")]
        for path, body, said in cases:
            with self.subTest(said):
                self.assertIn(said, self.asked("POST", path, body, code=422)["message"])

    def test_unknown_and_mistyped_fields_of_a_built_in_kind(self) -> None:
        body = {"metadata": {"name": "typed"}, "data": {"a": 1}}
        self.assertIn("cannot unmarshal number into Go struct field ConfigMap.data of type string", self.asked("POST", CONFIG_MAPS, body, code=400)["message"])
        body = {"metadata": {"name": "typed"}, "dta": {}}
        self.assertIn('unknown field "dta"', self.asked("POST", CONFIG_MAPS + "?fieldValidation=Strict", body, code=400)["message"])

    def test_dry_run_leaves_nothing(self) -> None:
        got = self.asked("POST", NODES + "?dryRun=All", edge_node("dry"), code=201)
        self.assertNotIn("resourceVersion", got["metadata"])
        self.asked("GET", f"{NODES}/dry", code=404)

    def test_both_doors_of_events(self) -> None:
        about = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "EdgeNode", "name": "a", "namespace": "rec"}
        self.made("/apis/events.k8s.io/v1/namespaces/rec/events", {
            "metadata": {"name": "e.1"}, "eventTime": "2026-11-21T00:00:00.000000Z", "reportingController": "c", "reportingInstance": "i", "action": "A",
            "reason": "R", "type": "Normal", "note": "n", "regarding": about})
        found = self.asked("GET", "/api/v1/namespaces/rec/events?fieldSelector=involvedObject.name%3Da,involvedObject.kind%3DEdgeNode")["items"]
        self.assertEqual([(one["message"], one["reportingComponent"]) for one in found], [("n", "c")])

    def test_pages_stay_as_they_were(self) -> None:
        for index in range(4):
            self.node(f"page{index}", mode="a")
        first = self.asked("GET", f"{NODES}?limit=2")
        names = {one["metadata"]["name"] for one in self.asked("GET", NODES)["items"]}
        self.asked("DELETE", f"{NODES}/page3")
        self.node("page9")
        rest = self.asked("GET", f"{NODES}?limit=500&continue={first['metadata']['continue']}")
        self.assertEqual({one["metadata"]["name"] for one in first["items"] + rest["items"]}, names)
        self.assertEqual(rest["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"])

    def test_an_object_enters_and_leaves_a_selection(self) -> None:
        self.made(CONFIG_MAPS, {"metadata": {"name": "sel"}})
        since = self.server.control("version")
        for label in ("x", "y"):
            self.asked("PATCH", f"{CONFIG_MAPS}/sel", {"metadata": {"labels": {"l": label}}}, type=MERGE)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.plain_port or 0, timeout=5)
        self.addCleanup(connection.close)
        connection.request("GET", f"{CONFIG_MAPS}?watch=1&labelSelector=l%3Dx&resourceVersion={since}&timeoutSeconds=1")
        events = [json.loads(line) for line in connection.getresponse().read().splitlines()]
        self.assertEqual([one["type"] for one in events], ["ADDED", "DELETED"])
        self.assertEqual(int(events[1]["object"]["metadata"]["resourceVersion"]), since + 2)


class Lives(Objects):
    def gone(self, path: str) -> None:
        self.eventually(lambda: ask(self.server, "GET", path)[0] == 404)

    def owned(self, name: str, owner: dict[str, Any], **more: Any) -> None:
        meta = owner["metadata"]
        self.made(CONFIG_MAPS, {"metadata": {"name": name, "ownerReferences": [
            {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"], **more}]}})

    def test_dependents_go_with_their_owner(self) -> None:
        self.owned("dependent", self.node("owner"))
        self.asked("DELETE", f"{NODES}/owner")
        self.gone(f"{CONFIG_MAPS}/dependent")

    def test_an_owner_waits_for_its_dependents_or_leaves_them(self) -> None:
        self.owned("waited", self.node("waits"), blockOwnerDeletion=True)
        self.asked("DELETE", f"{NODES}/waits?propagationPolicy=Foreground")
        self.gone(f"{NODES}/waits")
        self.asked("GET", f"{CONFIG_MAPS}/waited", code=404)
        self.owned("left", self.node("leaves"))
        self.asked("DELETE", f"{NODES}/leaves", {"propagationPolicy": "Orphan"})
        self.gone(f"{NODES}/leaves")
        self.assertNotIn("ownerReferences", self.asked("GET", f"{CONFIG_MAPS}/left")["metadata"])

    def test_a_scheduled_pod_waits_for_its_kubelet(self) -> None:
        self.made(PODS, pod("fast"))
        self.asked("DELETE", f"{PODS}/fast")
        self.asked("GET", f"{PODS}/fast", code=404)
        self.made(PODS, pod("slow", nodeName="n", terminationGracePeriodSeconds=40))
        self.assertEqual(self.asked("DELETE", f"{PODS}/slow")["metadata"]["deletionGracePeriodSeconds"], 40)
        self.asked("GET", f"{PODS}/slow")
        self.asked("DELETE", f"{PODS}/slow", {"gracePeriodSeconds": 0})
        self.asked("GET", f"{PODS}/slow", code=404)

    def test_no_finalizer_is_added_to_the_dying(self) -> None:
        self.node("dying")
        self.asked("PATCH", f"{NODES}/dying", {"metadata": {"finalizers": ["a/b"]}}, type=MERGE)
        self.asked("DELETE", f"{NODES}/dying")
        said = self.asked("PATCH", f"{NODES}/dying", {"metadata": {"finalizers": ["a/b", "c/d"]}}, type=MERGE, code=422)
        self.assertIn("no new finalizers can be added", said["message"])
        self.asked("PATCH", f"{NODES}/dying", {"metadata": {"finalizers": []}}, type=MERGE)
        self.asked("GET", f"{NODES}/dying", code=404)

    def test_a_definition_takes_its_objects_along(self) -> None:
        other = copy.deepcopy(DEFINITION)
        other["metadata"]["name"] = f"sidenodes.{GROUP}"
        other["spec"]["names"] = {"plural": "sidenodes", "kind": "SideNode"}
        crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        self.made(crds, other)
        path = NODES.replace("edgenodes", "sidenodes")
        self.made(path, {**edge_node("s"), "kind": "SideNode"})
        self.asked("DELETE", f"{crds}/sidenodes.{GROUP}")
        self.gone(f"{crds}/sidenodes.{GROUP}")
        self.asked("GET", path, code=404)

    def test_a_definition_that_cannot_be(self) -> None:
        crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        other = copy.deepcopy(DEFINITION)
        other["metadata"]["name"] = f"sidenodes.{GROUP}"
        other["spec"]["names"] = {"plural": "sidenodes", "kind": "SideNode"}
        spec = other["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        spec["x-kubernetes-validations"] = [{"rule": "self.address.foo("}]
        spec["properties"]["port"]["default"] = 0
        del spec["properties"]["mode"]["type"]
        said = self.asked("POST", crds, other, code=422)["message"]
        for part in ("x-kubernetes-validations[0].rule", "compilation failed", "properties[port].default", "properties[mode].type: Required value"):
            self.assertIn(part, said)


class Access(Objects):
    RULES = "/apis/rbac.authorization.k8s.io/v1"

    def test_roles_are_enforced(self) -> None:
        user = "system:serviceaccount:rec:reader"
        token = self.server.token(user)
        said = self.asked("GET", NODES, token=token, code=403)
        self.assertEqual(said["message"], f'edgenodes.{GROUP} is forbidden: User "{user}" cannot list resource "edgenodes" in API group "{GROUP}" in the namespace "rec"')
        self.made(f"{self.RULES}/namespaces/rec/roles", {"metadata": {"name": "reader"}, "rules": [
            {"verbs": ["list"], "apiGroups": [GROUP], "resources": ["edgenodes"]},
            {"verbs": ["get", "watch", "list"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one"]},
            {"verbs": ["patch"], "apiGroups": [GROUP], "resources": ["edgenodes/status"]}]})
        self.made(f"{self.RULES}/namespaces/rec/rolebindings", {
            "metadata": {"name": "reader"}, "roleRef": {"kind": "Role", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"},
            "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": "rec"}]})
        self.asked("GET", NODES, token=token)
        self.asked("GET", f"{NODES}/zz", token=token, code=403)
        self.asked("GET", NODES.replace("/rec/", "/default/"), token=token, code=403)
        self.asked("PATCH", f"{NODES}/zz", {}, token=token, type=MERGE, code=403)
        self.asked("PATCH", f"{NODES}/zz/status", {}, token=token, type=MERGE, code=404)
        secrets = "/api/v1/namespaces/rec/secrets"
        self.asked("GET", secrets, token=token, code=403)
        self.asked("GET", secrets + "?fieldSelector=metadata.name%3Done", token=token)
        self.asked("GET", f"{secrets}/two", token=token, code=403)
        review = {"spec": {"user": user, "resourceAttributes": {"verb": "list", "group": GROUP, "resource": "edgenodes", "namespace": "rec"}}}
        self.assertTrue(self.asked("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review, code=201)["status"]["allowed"])

    def test_paths_that_are_no_resources(self) -> None:
        token = self.server.token("bob")
        self.asked("GET", "/apis", token=token)
        self.asked("GET", "/metrics", token=token, code=403)
        self.made(f"{self.RULES}/clusterroles", {"metadata": {"name": "metrics"}, "rules": [{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}]})
        self.made(f"{self.RULES}/clusterrolebindings", {"metadata": {"name": "metrics"}, "roleRef": {"kind": "ClusterRole", "name": "metrics"},
                                                       "subjects": [{"kind": "User", "name": "bob"}]})
        self.asked("GET", "/metrics", token=token, code=404)
        review = self.asked("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}}, code=201)
        self.assertEqual((review["status"]["authenticated"], review["status"]["user"]["username"]), (True, "bob"))

    def test_certificates_name_users(self) -> None:
        config = self.server.kubeconfig("carol", user="carol", groups=["readers"], certificate=True)
        with self.assertRaisesRegex(CommandFailed, 'User "carol" cannot list resource "secrets"'):
            self.server.kubectl("get", "secrets", config=config)


if __name__ == "__main__":
    unittest.main()
