"""Enrollment under bad luck, and owners that contend for one VPS."""

from __future__ import annotations

import re
import ssl
import time
from collections import Counter

from interceptor import Interceptor, Strike
from lab import keys
from lab.network import BACKEND, VPS
from product import manifests as m
from product import traffic
from product.standalone import Standalone
from product.traffic import eventually
from registry import ENROLLMENT, Seen, fault
from scenes import NAME, SECURE, Bare, ThreeUplinks

_MIB = 1 << 20
_FAILED = "the VPS is not what it should be"
# Questions of the client in turn: greeting and key exchange, login, the channels and commands, then the pushes, which are told by their bytes.
_TURNS = range(1, 17)
_BYTES = (1, 6, 12, 60, 95)


def through_strikes(scene: Bare, strikes: list[Strike], *, within: float) -> list[str]:
    """Begins an enrollment whose connections meet the strikes, and goes on until the last was met.

    Returns: what the controller said, a line each.
    """
    with Interceptor(scene.lab, strikes) as wire:
        since = scene.mark()
        scene.begin()
        deadline = time.monotonic() + within
        # Its own tries come with growing pauses; a look is asked for all the time.
        while wire.struck < len(strikes):
            assert time.monotonic() < deadline, f"only {wire.struck} of {len(strikes)} strikes were met; the status: {scene.condition()}"
            time.sleep(0.3)
            scene.nudge()
        eventually(lambda: _FAILED in scene.standalone.log_text()[since:], within=90)
        scene.nudge()
        scene.wait_ready(150)
        return [line for line in scene.standalone.log_text()[since:].splitlines() if _FAILED in line]


def told(lines: list[str]) -> str:
    """The reasons in these lines, and how often each."""
    reasons = Counter(found[1] for line in lines if (found := re.search(r"reason=\"?(\w+)", line)))
    assert sum(reasons.values()) == len(lines), "a failure without a reason"
    return ", ".join(f"{reason} {count}×" for reason, count in sorted(reasons.items()))


@fault("SSH cut at every step of an enrollment", ENROLLMENT,
       injected="connection after connection reset: the first at its first question, … the 16th at its 16th, then in the middle of the pushes",
       expected="tried again, each failure has its reason; enrolled in the end, nothing half-done is left", stage="bare")
def cut(scene: Bare) -> Seen:
    strikes = [Strike(turn=turn) for turn in _TURNS] + [Strike(bytes=count * _MIB) for count in _BYTES]
    began = time.monotonic()
    lines = through_strikes(scene, strikes, within=240)
    scene.assert_well()
    return Seen(f"{len(strikes)} connections cut, told as {told(lines)}; enrolled {time.monotonic() - began:.0f} s after the begin of it all")


@fault("a silent peer at each step", ENROLLMENT,
       injected="connection after connection falls silent, its socket open: at its 1st to 8th question, at its 10th, and in a push; connectTimeout 3s",
       expected="given up (a login after connectTimeout, a command after 60 s), each failure has its reason; enrolled in the end", stage="bare")
def silent(scene: Bare) -> Seen:
    scene.spec = {"ssh": {"connectTimeout": "3s"}}
    strikes = [Strike(turn=turn, silently=True) for turn in (*range(1, 9), 10)] + [Strike(bytes=20 * _MIB, silently=True)]
    began = time.monotonic()
    lines = through_strikes(scene, strikes, within=300)
    scene.assert_well()
    return Seen(f"{len(strikes)} silences, told as {told(lines)}; enrolled {time.monotonic() - began:.0f} s after the begin of it all")


@fault("two controllers, one VPS", ENROLLMENT, injected="a second controller, of another installation, with an EdgeNode for the same VPS",
       expected="ForeignOwner, which names the owner and the way out; the first goes on", stage="three", quick=True)
def two_controllers(scene: ThreeUplinks) -> Seen:
    second = Standalone(scene.lab, name=f"second{time.monotonic_ns()}", uplinks="files")
    with scene.load() as load:
        second.write_node("edge")
        second.start()
        try:
            said = eventually(lambda: (found := second.condition("EdgeNode", "edge", "Ready")).get("reason") == "ForeignOwner" and found["message"],
                              within=30)
        finally:
            second.stop()
        scene.nudge()
        scene.wait_ready(20)
    assert "default/edge" in said and "teardown" in said, said
    assert load.failures == [], load.failures[:1]
    return Seen(f"the second's status said: {said}", None, 0, load.requests)


@fault("two EdgeNodes, one VPS", ENROLLMENT, injected="a second EdgeNode in the same controller, with the same address",
       expected="ForeignOwner, which names the owner and the way out; the first goes on; the second can be deleted", stage="three")
def two_nodes(scene: ThreeUplinks) -> Seen:
    with scene.load() as load:
        scene.standalone.write("second.yaml", m.edge_node("second", VPS))
        said = eventually(lambda: (found := scene.standalone.condition("EdgeNode", "second", "Ready")).get("reason") == "ForeignOwner"
                          and found["message"], within=30)
        scene.standalone.remove("second.yaml")
        eventually(lambda: not (scene.standalone.state / "status/default/edgenode-second.yaml").exists(), within=30)
        time.sleep(1)
        scene.nudge()
        scene.wait_ready(20)
        scene.answers()
    assert "default/edge" in said, said
    assert load.failures == [], load.failures[:1]
    return Seen(f"the second's status said: {said}", None, 0, load.requests)


@fault("EdgeNode deleted while the VPS is away", ENROLLMENT, injected="power cut, all manifests removed, power again", stage="bare",
       expected="the status says how to give the VPS up; torn down by itself once it is back")
def deleted_while_away(scene: Bare) -> Seen:
    scene.begin()
    scene.assert_well()
    scene.machine.cut_power()
    since = scene.mark()
    scene.standalone.remove("web.yaml")
    scene.standalone.remove("node.yaml")
    said = scene.told("TeardownFailed", since, within=90)
    assert "skip-deprovision" in said, said
    scene.machine.start()
    scene.machine.wait_ready()
    began = time.monotonic()

    def is_clean() -> bool:
        places = [scene.machine.root / place for place in ("etc/tidegate", "usr/local/lib/tidegate", "etc/systemd/system/tidegate-envoy.service")]
        return not any(place.exists() for place in places) and "wg-relay" not in scene.on_vps("ip", "-o", "link")
    # Its tries come with growing pauses, up to three minutes.
    eventually(is_clean, within=200, every=0.5)
    return Seen("the event named skip-deprovision; torn down by itself", time.monotonic() - began)


def through_secret_trouble(scene: ThreeUplinks, words: str, *objects: dict) -> Seen:
    """A binding comes, and in the same moment the node's file changes to `objects`; then it is put right."""
    with scene.load() as load, scene.crowd(count=50) as crowd:
        scene.standalone.write("churn.yaml", m.port_binding("churn", "edge", m.tcp("churn", 7460, BACKEND, 7000)))
        time.sleep(0.05)
        scene.standalone.write("node.yaml", *objects)
        said = scene.wait_not_ready(words, within=40)
        time.sleep(1)
        scene.write_node()
        began = time.monotonic()
        eventually(lambda: scene.answers(7460), within=30)
        scene.wait_ready(30)
        took = time.monotonic() - began
        broken = crowd.broken()
    scene.standalone.remove("churn.yaml")
    assert broken == [] and load.failures == [], f"{broken[:1]} {load.failures[:1]}"
    return Seen(f"the status said: {said}", took, 0, load.requests)


_SECRET = "the status names the Secret and what is wrong; traffic goes on; well again once it is right"


@fault("SSH Secret emptied", ENROLLMENT, injected="privateKey and knownHosts empty, while a binding is added", expected=_SECRET, stage="three")
def ssh_secret_emptied(scene: ThreeUplinks) -> Seen:
    node = m.edge_node("edge", VPS, **scene.spec)
    return through_secret_trouble(scene, "vps-ssh|privateKey|knownHosts", node, m.ssh_secret("vps-ssh", privateKey="", knownHosts=""))


@fault("SSH Secret deleted", ENROLLMENT, injected="the Secret is gone, while a binding is added", expected=_SECRET, stage="three")
def ssh_secret_deleted(scene: ThreeUplinks) -> Seen:
    return through_secret_trouble(scene, "SSHSecretMissing.*vps-ssh", m.edge_node("edge", VPS, **scene.spec))


@fault("SSH Secret with another key", ENROLLMENT, injected="a key that the VPS does not know, while a binding is added", expected=_SECRET, stage="three")
def ssh_secret_changed(scene: ThreeUplinks) -> Seen:
    stranger = keys.make(scene.lab.folder / "strangers", f"key{time.monotonic_ns()}")
    secret = m.ssh_secret("vps-ssh", privateKey=stranger.private_text, knownHosts=scene.lab.known_hosts())
    return through_secret_trouble(scene, "AuthenticationFailed", m.edge_node("edge", VPS, **scene.spec), secret)


def through_certificate_trouble(scene: ThreeUplinks, words: str, *objects: dict) -> Seen:
    """The file of the bindings changes to `objects`, the controller is restarted, then the file is put right."""
    authority = scene.lab.certificates.root.certificate_text

    def assert_served() -> None:
        former = ssl.PEM_cert_to_DER_cert(scene.edge.certificate_text)
        assert traffic.tls(scene.client, VPS, SECURE, NAME, authority).certificate == former
    with scene.load() as load, scene.crowd(count=50) as crowd:
        assert_served()
        scene.standalone.write("web.yaml", scene.web(), *objects)
        said = scene.standalone.wait_binding("web", "secure", ready=False, within=20)
        time.sleep(1)
        assert_served()
        since = scene.mark()
        scene.standalone.stop()
        scene.standalone.start()
        scene.told(r"\breconciled\b", since, within=60)
        assert_served()
        scene.write_web()
        began = time.monotonic()
        scene.standalone.wait_binding("web", "secure", within=30)
        took = time.monotonic() - began
        broken = crowd.broken()
    assert re.search(words, said["message"]), said
    assert broken == [] and load.failures == [], f"{broken[:1]} {load.failures[:1]}"
    return Seen(f"the binding said: {said['reason']}: {said['message']}", took, 0, load.requests)


_CERTIFICATE = "the binding names the Secret and what is wrong; the former certificate is served on, also after a restart of the controller; well again once it is right"


@fault("TLS Secret deleted", ENROLLMENT, injected="the Secret of a binding in force is gone", expected=_CERTIFICATE, stage="three")
def tls_secret_deleted(scene: ThreeUplinks) -> Seen:
    return through_certificate_trouble(scene, "edge-tls")


@fault("TLS Secret emptied", ENROLLMENT, injected="tls.crt and tls.key empty", expected=_CERTIFICATE, stage="three")
def tls_secret_emptied(scene: ThreeUplinks) -> Seen:
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "edge-tls", "namespace": "default"},
              "data": {"tls.crt": "", "tls.key": ""}}
    return through_certificate_trouble(scene, "edge-tls", secret)


@fault("TLS Secret with another's key", ENROLLMENT, injected="tls.crt of one certificate, tls.key of another", expected=_CERTIFICATE, stage="three")
def tls_secret_mixed(scene: ThreeUplinks) -> Seen:
    secret = m.tls_secret("edge-tls", scene.edge)
    secret["data"]["tls.key"] = m.tls_secret("x", scene.lab.certificates.issue("stranger", "stranger.example.test"))["data"]["tls.key"]
    return through_certificate_trouble(scene, "edge-tls", secret)
