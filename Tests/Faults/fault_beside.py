"""What they do from whom nobody expects it: strangers with made-up addresses, users and neighbours of the VPS, pods beside the uplinks,
tenants who name what is not theirs, and code that runs in Envoy."""

from __future__ import annotations

import random
import socket
import struct
import time
from contextlib import contextmanager
from typing import Iterator

from fault_outside import begin_connecting, is_open, more_files, others_answer
from lab.commands import CommandFailed, attempt
from lab.network import BACKEND, VPS
from product import manifests as m
from product import traffic
from product.traffic import eventually
from registry import BESIDE, Seen, fault
from scenes import DATAGRAMS, NAME, OTHER, SECURE, WEB, ThreeUplinks

_OTHERS = "nobody else notices: no request fails, none takes longer than 3 s, no held connection breaks"
_SHARED = 8443
_GAMES = (5401, 5402, 5403)


@contextmanager
def more(scene: ThreeUplinks, *bindings: dict) -> Iterator[None]:
    """A tenant's PortBinding beside the others."""
    scene.standalone.write("more.yaml", m.port_binding("more", "edge", *bindings))
    try:
        yield
    finally:
        scene.standalone.remove("more.yaml")
        eventually(lambda: not scene.standalone.status("PortBinding", "more").get("bindings"), within=20)


def datagram(source: str, port: int, to: int, payload: bytes) -> bytes:
    """An IPv4 packet with a UDP datagram from anybody; the kernel fills in the IP checksum, and UDP needs none."""
    length = 8 + len(payload)
    udp = struct.pack("!HHHH", port, to, length, 0) + payload
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0x4000, 64, 17, 0) + socket.inet_aton(source) + socket.inet_aton(VPS) + udp


@fault("datagrams from made-up addresses", BESIDE,
       injected="a stranger: 104,000 small datagrams from as many made-up sources to four UDP bindings, in some 10 s",
       expected=_OTHERS + "; Envoy lives. The attacked bindings refuse new sessions for a minute, those that they had go on", stage="three")
def spoofed(scene: ThreeUplinks) -> Seen:
    with more(scene, *(m.udp(f"game-{port}", port, BACKEND, 7000) for port in _GAMES)):
        for port in _GAMES:
            scene.standalone.wait_binding("more", f"game-{port}", within=30)
        envoy = scene.pid("envoy")

        def attack() -> str:
            with traffic.Datagrams(scene.client, VPS, DATAGRAMS) as session:
                session.echo(64)
                with scene.client.entered():
                    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
                chance, began = random.Random(3), time.monotonic()
                for number in range(104_000):
                    source = f"198.51.100.{chance.randrange(20, 250)}"
                    raw.sendto(datagram(source, chance.randrange(1024, 65535), (DATAGRAMS, *_GAMES)[number % 4], b"x"), (VPS, 0))
                    if number % 100 == 99:
                        time.sleep(max(0.0, began + number / 10_400 - time.monotonic()))
                raw.close()
                lost = session.lost(20, pause=0.02)
            assert scene.pid("envoy") == envoy, "Envoy is another: it crashed"
            files = len(scene.on_vps("ls", f"/proc/{envoy}/fd").split())
            assert files < 19_000, f"Envoy has {files:,} of 20,000 files open"
            assert lost == 0, f"an open session lost {lost} of 20 datagrams"
            return f"Envoy had {files:,} of 20,000 files open; a session of before the attack lost none of 20 datagrams"
        seen = others_answer(scene, attack, "{}")
    return seen


@fault("silent connections to a port shared by hostname", BESIDE,
       injected="a stranger: 7,000 TCP connections that say nothing to a port whose bindings are told apart by their SNI names",
       expected=_OTHERS + "; another port takes 80 new connections meanwhile", stage="three")
def silent(scene: ThreeUplinks) -> Seen:
    with more(scene, m.tcp("shop", _SHARED, BACKEND, 7000, tls=m.passthrough("shop.example.test")),
              m.tcp("blog", _SHARED, BACKEND, 7000, tls=m.passthrough("blog.example.test"))):
        eventually(lambda: scene.client.connect(VPS, _SHARED, timeout=1).close() is None, within=20)

        def attack() -> str:
            more_files()
            opened: list[socket.socket] = []
            for _ in range(14):
                opened += begin_connecting(scene, [_SHARED] * 500)
                time.sleep(0.2)
            held = sum(1 for one in opened if is_open(one))
            traffic.release(traffic.hold(scene.client, VPS, OTHER, 80))
            for one in opened:
                one.close()
            assert held < 3500, f"{held:,} of 7,000 were taken"
            return f"{held:,}"
        return others_answer(scene, attack, "{} of 7,000 were taken; 80 of 80 new ones to another port")


@fault("connections to TLS that never shake hands", BESIDE, injected="a stranger: 300 TCP connections to an `offload` binding that say nothing",
       expected=_OTHERS + "; the backend behind it sees not one of them", stage="three")
def no_handshake(scene: ThreeUplinks) -> Seen:
    def at_backend() -> int:
        return len(scene.lab.backend.run(["ss", "-Htn", "state", "established", "sport", "=", ":7000"]).splitlines())

    with scene.crowd(port=OTHER, count=20) as crowd:
        before = at_backend()
        opened = begin_connecting(scene, [SECURE] * 300)
        time.sleep(3)
        during = at_backend()
        held = sum(1 for one in opened if is_open(one))
        name = traffic.tls(scene.client, VPS, SECURE, NAME, scene.lab.certificates.root.certificate_text).seen
        for one in opened:
            one.close()
        assert crowd.broken() == []
    assert held == 300 and during <= before + 5, f"{held} held, the backend had {before} connections and then {during}"
    return Seen(f"300 held, none at the backend; one that shook hands was answered by {name['name']}")


@fault("a local user of the VPS goes around Envoy", BESIDE,
       injected="`nobody` on the VPS connects to an uplink's tunnel address, and to the relay's bridge; then root flushes our table",
       expected="neither connects; root and Envoy do. The table comes back, with the event DriftRepaired", stage="three", quick=True)
def local_user(scene: ThreeUplinks) -> Seen:
    def connects(user: str, place: str) -> bool:
        script = f"timeout 2 bash -c 'exec 3<>/dev/tcp/{place}'"
        try:
            scene.on_vps("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "bash", "-c", script)
            return True
        except CommandFailed:
            return False

    places = (f"10.200.0.2/{WEB}", "10.200.0.1/40600")
    assert [connects("65534", one) for one in places] == [False, False], "nobody gets into the tunnel"
    assert [connects("0", one) for one in places] == [True, True], "root does not"
    since, began = scene.mark(), time.monotonic()
    scene.machine.namespace.run(["nft", "delete", "table", "ip", "tidegate_relay"])
    assert connects("65534", places[0]), "without the table nobody gets through: it is not the table"
    scene.nudge()
    eventually(lambda: not connects("65534", places[0]), within=20)
    took = time.monotonic() - began
    scene.event("DriftRepaired", since, about="tidegate_relay")
    return Seen("neither connected; the deleted table came back", took, 0)


@fault("a neighbour and a container of the VPS", BESIDE,
       injected="a host on the VPS's segment that routes the tunnel's network to it, masqueraded or not, to an uplink and to the bridge",
       expected="nothing connects", stage="three")
def neighbour(scene: ThreeUplinks) -> Seen:
    places = [("10.200.0.2", WEB), ("10.200.0.1", 40600)]
    near = scene.lab.internet

    def connects(address: str, port: int) -> bool:
        try:
            near.connect(address, port, timeout=1).close()
            return True
        except OSError:
            return False

    near.run(["ip", "route", "add", "10.200.0.0/24", "via", VPS])
    machine = scene.machine.namespace
    forwarding = machine.run(["sysctl", "-n", "net.ipv4.ip_forward"]).strip()
    try:
        machine.run(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])
        for rules in ("", "add table ip lab; add chain ip lab post { type nat hook postrouting priority 100; }; add rule ip lab post masquerade"):
            if rules:
                machine.run(["nft", rules])
            assert not any(connects(*place) for place in places), f"connected{', masqueraded' if rules else ''}"
        machine.run(["nft", "delete", "table", "ip", "tidegate_relay"])
        assert connects(*places[0]), "without the table nothing connects either: it is not the table"
    finally:
        near.run(["ip", "route", "del", "10.200.0.0/24"])
        machine.run(["sysctl", "-q", "-w", f"net.ipv4.ip_forward={forwarding}"])
        attempt(machine.argv(["nft", "delete", "table", "ip", "lab"]))
        scene.nudge()
    eventually(lambda: "tidegate_relay" in machine.run(["nft", "list", "tables"]), within=20)
    return Seen("nothing connected, masqueraded or not", None, 0)


@fault("idle connections to the bridge", BESIDE, injected="a pod beside an uplink: 2,000 connections to Envoy's bridge that say nothing",
       expected=_OTHERS + "; another uplink's Prometheus least; they end after 10 s, and the bridge answers again", stage="three")
def bridge(scene: ThreeUplinks) -> Seen:
    pod, other = scene.hosts[:2]
    ready = ["curl", "-sS", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", "http://10.200.0.1:40600/ready"]

    def attack() -> str:
        more_files()
        opened: list[socket.socket] = []
        with pod.entered():
            for _ in range(2000):
                one = socket.socket()
                one.setblocking(False)
                one.connect_ex(("10.200.0.1", 40600))
                opened.append(one)
        time.sleep(2)
        held = sum(1 for one in opened if is_open(one))
        answers = {other.run(ready) for _ in range(20)}
        assert answers == {"200"}, f"beside another uplink: {answers}"
        eventually(lambda: not any(is_open(one) for one in opened), within=15, every=0.5)
        for one in opened:
            one.close()
        assert held <= 8, f"{held} were taken"
        assert pod.run(ready) == "200"
        return f"{held}"
    return others_answer(scene, attack, "{} of 2,000 were taken, for 10 s; then the bridge answered")


@fault("targets that are not the tenant's", BESIDE,
       injected="a tenant: bindings to 169.254.169.254, to the tunnel's own network, and a UDP one to the VPS itself",
       expected="TargetRefused, each with its reason; the tenant's good binding works", stage="three", quick=True)
def targets(scene: ThreeUplinks) -> Seen:
    with more(scene, m.tcp("metadata", 8091, "169.254.169.254", 80), m.tcp("dump", 8092, "10.200.0.1", 40600),
              m.udp("loop", 8093, VPS, 8093), m.tcp("good", 8094, BACKEND, 7000)):
        words = {name: scene.standalone.wait_binding("more", name, ready=False, reason="TargetRefused", within=20)["message"]
                 for name in ("metadata", "dump", "loop")}
        scene.standalone.wait_binding("more", "good", within=20)
        assert scene.answers(8094)["name"]
    assert "link-local" in words["metadata"] and "tunnel" in words["dump"] and "VPS itself" in words["loop"], words
    return Seen("; ".join(words.values()), None, 0)


@fault("code in Envoy waits for root", BESIDE,
       injected="Envoy's user lays named pipes in the place of envoy.json and both files of the uplinks, and a link in that of Envoy's socket",
       expected=_OTHERS + "; root's agent never waits for them: status and apply answer, and a drift is put right meanwhile", stage="three")
def pipes(scene: ThreeUplinks) -> Seen:
    script = ("cd /run/tidegate && for name in envoy.json uplinks.json uplinks-brief.json; do rm -f $name; mkfifo $name; done; "
              "mv envoy-admin.sock away.sock; ln -s /run/systemd/private envoy-admin.sock")

    def attack() -> str:
        user = scene.on_vps("id", "-u", "tidegate-envoy").strip()
        scene.on_vps("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "sh", "-c", script)
        try:
            began = time.monotonic()
            scene.on_vps("timeout", "10", "/usr/local/lib/tidegate/edge-agent", "status")
            took = time.monotonic() - began
            scene.machine.namespace.run(["nft", "delete", "table", "ip", "tidegate_relay"])
            scene.nudge()
            eventually(lambda: "tidegate_relay" in scene.machine.namespace.run(["nft", "list", "tables"]), within=30)
        finally:
            scene.on_vps("sh", "-c", "cd /run/tidegate && rm -f envoy-admin.sock && mv away.sock envoy-admin.sock; rm -f uplinks.json uplinks-brief.json envoy.json")
        return f"{took:.1f}"
    seen = others_answer(scene, attack, "status answered after {} s, an apply put the table back")
    # The supervisor writes its file when it next has something to say.
    scene.on_vps("systemctl", "restart", "tidegate-envoy.service")
    scene.settle()
    return seen
