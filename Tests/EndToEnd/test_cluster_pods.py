"""The emulated cluster at work, without Tidegate: pods get what a kubelet and a container runtime would give them."""

from __future__ import annotations

from cluster.proxy import BACKEND as BACKEND_ANNOTATION
from cluster_stage import ClusterStage, ClusterTest, fresh
from lab.network import BACKEND
from product import traffic
from product.traffic import eventually

_SCRIPT = """
busybox grep -E 'CapBnd|NoNewPrivs' /proc/self/status
echo name $POD_NAME address $POD_IP number $$$$
echo x > /x || echo root is read-only
echo 0 > /proc/sys/net/ipv4/ip_forward || echo settings are read-only
busybox ls -l /dev/net/tun || echo no tun
busybox cat /proc/sys/net/ipv4/ip_forward
trap 'echo told to end; busybox sleep 1; exit 0' TERM
busybox httpd -f -p 8080 -h /config & wait
"""


def stateful_set(replicas: int, *, script: str = _SCRIPT) -> dict:
    field = lambda path: {"valueFrom": {"fieldRef": {"fieldPath": path}}}  # noqa: E731
    return {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas, "podManagementPolicy": "Parallel", "serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "terminationGracePeriodSeconds": 10,
                    "containers": [{
                        "name": "web", "image": "lab/busybox:any", "args": ["sh", "-c", script],
                        "env": [{"name": "POD_NAME", **field("metadata.name")}, {"name": "POD_IP", **field("status.podIP")}],
                        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1},
                        "securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False,
                                            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}},
                        "volumeMounts": [{"name": "config", "mountPath": "/config", "readOnly": True}],
                    }],
                    "volumes": [{"name": "config", "configMap": {"name": "web"}}],
                }}},
    }


def config(word: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "default"}, "data": {"word": word, "ready": "yes"}}


class ClusterPodTests(ClusterTest):
    """In this order: unittest runs them by name."""

    @classmethod
    def make_stage(cls) -> ClusterStage:
        stage = fresh()
        stage.kubectl.apply(stateful_set(2), config("one"))
        return stage

    def status(self) -> dict:
        return self.stage.status("StatefulSet", "web")

    def word(self, number: int) -> str:
        """What the pod serves of its volume."""
        address = self.stage.get("Pod", f"web-{number}")["status"]["podIP"]
        with self.lab.home.connect(address, 8080) as opened:
            opened.sendall(b"GET /word HTTP/1.0\r\n\r\n")
            answer = b""
            while data := opened.recv(4096):
                answer += data
        return answer.decode().rpartition("\r\n")[2]

    def test_1_they_run_confined(self) -> None:
        eventually(lambda: self.status().get("readyReplicas") == 2, within=20)
        shown = self.kubectl("get", "statefulset,pods")
        self.assertIn("2/2", shown)
        self.assertEqual(shown.count("1/1"), 2)
        pod = self.stage.get("Pod", "web-0")
        said = self.stage.cluster.log_of("default", "web-0").splitlines()
        self.assertIn(f"name web-0 address {pod['status']['podIP']} number 1", said)
        for line in ("CapBnd:\t0000000000001000", "NoNewPrivs:\t1", "root is read-only", "settings are read-only", "no tun", "1"):
            self.assertIn(line, said)
        self.assertEqual(pod["status"]["containerStatuses"][0]["restartCount"], 0, said)
        self.assertNotEqual(pod["spec"]["nodeName"], self.stage.get("Pod", "web-1")["spec"]["nodeName"])

    def test_2_a_touched_pod_sees_its_volume_at_once_and_another_does_not(self) -> None:
        self.kubectl.apply(config("two"))
        self.kubectl("annotate", "pod", "web-0", "touched=now")
        eventually(lambda: self.word(0) == "two", within=3)
        self.assertEqual(self.word(1), "one")

    def test_3_a_service_leads_to_its_backend(self) -> None:
        self.kubectl.apply({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "echo", "namespace": "default", "annotations": {BACKEND_ANNOTATION: BACKEND}},
            "spec": {"ports": [{"port": 80, "targetPort": 7000}]}})
        address = self.stage.get("Service", "echo")["spec"]["clusterIP"]
        pods = self.stage.cluster.host_of("default", "web-0")
        seen = eventually(lambda: traffic.whoami(pods, address, 80), within=5)
        self.assertEqual((seen["name"], seen["peer"]), ("echo", self.stage.get("Pod", "web-0")["status"]["podIP"]))
        self.kubectl("delete", "service", "echo")
        def refused() -> bool:
            try:
                traffic.whoami(pods, address, 80)
            except ConnectionRefusedError:
                return True
            return False
        eventually(refused, within=5)

    def test_4_a_container_that_dies_comes_back(self) -> None:
        self.stage.cluster.kill("default", "web-0")
        def back() -> bool:
            state = self.stage.get("Pod", "web-0")["status"]["containerStatuses"][0]
            return state["restartCount"] == 1 and state["ready"] and state["lastState"]["terminated"]["exitCode"] == 137
        eventually(back, within=10)

    def test_5_the_highest_goes_first_and_is_told(self) -> None:
        self.kubectl("scale", "statefulset", "web", "--replicas=1")
        eventually(lambda: "deletionTimestamp" in self.stage.get("Pod", "web-1")["metadata"], within=5)
        self.stage.wait_gone("Pod", "web-1", within=8)
        self.assertIn("told to end", self.stage.cluster.log_of("default", "web-1"))

    def test_6_a_changed_template_is_rolled_out(self) -> None:
        before = self.stage.get("Pod", "web-0")["metadata"]["uid"]
        self.kubectl.apply(stateful_set(1, script=_SCRIPT + "\n# other"))
        def rolled() -> bool:
            status = self.status()
            return status["currentRevision"] == status["updateRevision"] and status["readyReplicas"] == 1
        eventually(lambda: (self.stage.get("Pod", "web-0") or {"metadata": {"uid": before}})["metadata"]["uid"] != before, within=10)
        eventually(rolled, within=10)

    def test_7_its_successor_adopts_orphans(self) -> None:
        before = self.stage.get("Pod", "web-0")["metadata"]["uid"]
        self.kubectl("delete", "statefulset", "web", "--cascade=orphan")
        self.assertNotIn("ownerReferences", self.stage.get("Pod", "web-0")["metadata"])
        self.kubectl.apply(stateful_set(1, script=_SCRIPT + "\n# other"))
        owner = self.stage.get("StatefulSet", "web")["metadata"]["uid"]
        def adopted() -> bool:
            return [one["uid"] for one in self.stage.get("Pod", "web-0")["metadata"].get("ownerReferences", [])] == [owner]
        eventually(adopted, within=5)
        eventually(lambda: self.status().get("readyReplicas") == 1, within=5)
        self.assertEqual(self.stage.get("Pod", "web-0")["metadata"]["uid"], before)

    def test_8_all_goes_with_the_stateful_set(self) -> None:
        self.kubectl("delete", "statefulset", "web")
        self.stage.wait_gone("Pod", "web-0", within=10)
        eventually(lambda: not self.stage.cluster.host_of("default", "web-0").handle.exists(), within=5)

    def test_9_one_that_is_not_alive_is_begun_again_and_held_back(self) -> None:
        sick = stateful_set(1, script="trap 'exit 0' TERM; busybox sleep 1000 & wait")
        sick["metadata"]["name"] = "sick"
        container = sick["spec"]["template"]["spec"]["containers"][0]
        container["readinessProbe"] = {"exec": {"command": ["busybox", "sh", "-c", "test $POD_NAME = sick-0"]}, "periodSeconds": 1}
        container["livenessProbe"] = {"exec": {"command": ["busybox", "sh", "-c", "echo no more; exit 1"]}, "periodSeconds": 1, "failureThreshold": 3}
        self.publish(sick)
        state = lambda: self.stage.get("Pod", "sick-0")["status"]["containerStatuses"][0]  # noqa: E731
        eventually(lambda: (self.stage.get("Pod", "sick-0") or {}).get("status", {}).get("containerStatuses"), within=10)
        eventually(lambda: state()["ready"], within=10)
        def held_back() -> bool:
            waiting = state()["state"].get("waiting", {})
            return waiting.get("reason") == "CrashLoopBackOff" and "back-off 10s restarting failed container=web" in waiting["message"]
        eventually(held_back, within=15)
        self.assertEqual(state()["restartCount"], 1, "the first restart is at once")
        told = {one["reason"]: one.get("note", "") for one in self.stage.list("Event") if one["regarding"]["name"] == "sick-0"}
        self.assertEqual(told["Unhealthy"], "Liveness probe failed: no more")
        self.assertEqual(told["Killing"], "Container web failed liveness probe, will be restarted")
        self.assertIn("BackOff", told)
