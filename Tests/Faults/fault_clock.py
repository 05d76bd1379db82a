"""The clock of day goes wrong. Only a machine with a kernel of its own has one of its own: QEMU, slow, with the kernel's WireGuard.

Under the controller it is a library that tells it another time. For an uplink's clock the message is made by hand by which alone it could
do harm: wireguard-go asks the kernel itself.
"""

from __future__ import annotations

import base64
import re
import signal
import socket
import time
from datetime import datetime

from initiation import RESPONSE, initiation
from lab.network import BACKEND, VPS
from product import manifests as m
from product import traffic
from product.traffic import eventually
from registry import HOST, UPLINKS, Seen, fault
from scenes import NAME, SECURE, TUNNEL, OwnKernel, ThreeUplinks

_EXPECTED = "tunnel, TLS and epochs do not depend on it: no request is lost, no held connection breaks, a change is in force each time"
_SESSION = 180  # seconds after which a session of WireGuard is not used any more (REJECT_AFTER_TIME)


@fault("clock of an uplink an hour ahead, then right", UPLINKS, stage="three",
       injected="one of 3 uplinks dies; a handshake with its key and a time an hour ahead, which the relay takes; then it runs again with the right time, "
       "and its handshakes are older than that one",
       expected=f"back in rotation once the former session is over ({_SESSION} s), and not an hour later; no request is lost")
def uplink_clock_was_ahead(scene: ThreeUplinks) -> Seen:
    own = base64.b64decode(scene.files.key(scene.victim).read_text())
    relay = base64.b64decode(scene.standalone.status("EdgeNode", "edge")["relayPublicKey"])
    with scene.open_load() as load:
        scene.signal_victim(signal.SIGKILL)
        began = time.monotonic()
        with scene.victim_host.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.settimeout(5)
            sender.sendto(initiation(own, relay, time.time() + 3600), (VPS, TUNNEL))
            answer = sender.recv(2000)
        assert answer[0] == RESPONSE, f"the relay answered {answer[:4]!r}"
        before = load.peers[scene.victim_address]
        scene.revive()
        time.sleep(30)
        assert load.peers[scene.victim_address] == before, "it was let in at once, so this shows nothing"
        eventually(lambda: load.peers[scene.victim_address] > before, within=_SESSION + 60)
        took = time.monotonic() - began
    assert not load.failures, f"{len(load.failures)} of {load.requests} requests lost: {load.failures[0]}"
    return Seen("kept out at first, then back by itself", took, 0, load.requests)


@fault("clock of the VPS off by an hour, and stepping back", HOST, expected=_EXPECTED, stage="own kernel",
       injected="a reboot, so that the relay is the one that dialed; then its clock an hour ahead for a minute, and two hours back for "
       f"{_SESSION + 30} s, by when the session was renewed; 4 requests a second")
def clock_steps(scene: OwnKernel) -> Seen:
    scene.machine.reboot()
    eventually(lambda: scene.answers(timeout=5), within=120)
    with scene.open_load(rate=4) as load, scene.crowd(count=10) as crowd:
        for number, (step, stay) in enumerate((("+1 hour", 60), ("-2 hours", _SESSION + 30))):
            scene.machine.exec(["date", "--set", step])
            began = time.monotonic()
            port = 7600 + number
            scene.standalone.write("added.yaml", m.port_binding("added", "edge", m.tcp("added", port, BACKEND, 7001)))
            eventually(lambda: traffic.whoami(scene.client, VPS, port, timeout=5), within=60)
            scene.standalone.remove("added.yaml")
            time.sleep(max(0, stay - (time.monotonic() - began)))
        broken = crowd.broken()
        slowest = max((one.took for one in load.troubles), default=0)
        gap = load.trouble_ended(began)
    off = time.time() - float(scene.machine.exec(["date", "+%s"]))
    assert 3500 < off < 3700, f"the clock of the VPS is {off:.0f} s behind, not an hour"
    assert broken == [], f"held connections broke: {broken[0]}"
    assert not load.failures, f"{len(load.failures)} of {load.requests} requests lost: {load.failures[0]}"
    slow = f"; the longest request took {slowest:.1f} s" if slowest else ""
    return Seen(f"10 held connections live{slow}", gap, 0, load.requests)


def is_closed(scene: ThreeUplinks, port: int) -> bool:
    """The port refuses; a removal is in force."""
    try:
        traffic.whoami(scene.client, VPS, port)
    except ConnectionRefusedError:
        return True
    return False


@fault("clock of the controller off by an hour, and stepping back", UPLINKS, stage="three",
       injected="libfaketime under the controller: an hour ahead, then two hours back, when a certificate is renewed, then right",
       expected="no request is lost, no held connection breaks, a change is in force each time; the certificate that begins in the future is told as such, "
       "the former one served, and the new one by itself within 3 minutes after")
def controller_clock(scene: ThreeUplinks) -> Seen:
    clock = scene.standalone.folder / "clock"

    def served() -> bytes:
        return traffic.tls(scene.client, VPS, SECURE, NAME, scene.lab.certificates.root.certificate_text).certificate

    def is_off(seconds: int) -> bool:
        """By the time in the last line of the log, which is some seconds old."""
        said = re.findall(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", scene.standalone.log_text(), re.MULTILINE)[-1]
        return abs(datetime.fromisoformat(f"{said}+00:00").timestamp() - time.time() - seconds) < 60

    # Replaced whole: the program reads it at any moment.
    def set_clock(seconds: int) -> None:
        fresh = clock.with_suffix(".new")
        fresh.write_text(f"{seconds:+}")
        fresh.replace(clock)

    set_clock(0)
    scene.standalone.stop()
    scene.standalone.start(clock=clock)
    scene.wait_ready()
    former = served()
    try:
        with scene.open_load() as load, scene.crowd(count=50) as crowd:
            for port, offset in ((7610, 3600), (7611, -3600)):
                set_clock(offset)
                scene.standalone.write(f"{port}.yaml", m.port_binding(f"added-{port}", "edge", m.tcp(f"added-{port}", port, BACKEND, 7001)))
                eventually(lambda: traffic.whoami(scene.client, VPS, port), within=20)
                eventually(lambda: is_off(offset), within=10)
                assert served() == former
                # Away for less than it takes to be believed when the clock steps.
                (scene.standalone.manifests / f"{port}.yaml").unlink()
                time.sleep(0.1)
            scene.edge = scene.lab.certificates.issue("edge-early", NAME)
            scene.write_web()
            said = scene.standalone.wait_binding("web", "secure", ready=False, within=20)
            assert "check the clock" in said["message"], said
            assert served() == former
            for port in (7610, 7611):
                eventually(lambda: is_closed(scene, port), within=10)
            set_clock(0)
            began = time.monotonic()
            eventually(lambda: served() != former, within=200, every=1)
            took = time.monotonic() - began
            broken = crowd.broken()
    finally:
        scene.standalone.stop()
        scene.standalone.start()
    assert broken == [], f"held connections broke: {broken[0]}"
    assert not load.failures, f"{len(load.failures)} of {load.requests} requests lost: {load.failures[0]}"
    return Seen(f"the binding said: {said['message']}; renewed {took:.0f} s after the clock was right", None, 0, load.requests)
