"""A controller that dies together with its network: nobody tells the VPS that its sessions are over."""

from __future__ import annotations

import time

from lab.commands import CommandFailed, run
from lab.network import VPS
from product.traffic import eventually
from registry import ENROLLMENT, Seen, fault
from scenes import Bare

_MIB = 1 << 20
_SEVERED = """
table ip severed {{
  chain output {{ type filter hook output priority 0; tcp sport {{ {ports} }} tcp dport 22 drop; }}
  chain input {{ type filter hook input priority 0; tcp sport 22 tcp dport {{ {ports} }} drop; }}
}}
"""


def sever_and_kill(scene: Bare) -> None:
    """No packet of the controller's SSH connections passes any more, so neither does the end of its connections; then SIGKILL."""
    home = scene.lab.home
    lines = home.run(["ss", "-Htn", "state", "established", "dst", VPS, "dport", "=", ":22"]).splitlines()
    ports = ", ".join(line.split()[2].rsplit(":", 1)[1] for line in lines)
    run(["ip", "netns", "exec", home.name, "nft", "-f", "-"], input=_SEVERED.format(ports=ports))
    scene.standalone.kill()


def logins(scene: Bare) -> set[str]:
    """The VPS's SSH connections, by their far end."""
    return {line.split()[3] for line in scene.on_vps("ss", "-Htn", "state", "established", "sport", "=", ":22").splitlines()}


def runs_on_vps(scene: Bare, command: str) -> bool:
    try:
        return bool(scene.on_vps("pgrep", "-f", command))
    except CommandFailed:
        return False  # there is none


def gone_after(scene: Bare, old: set[str], since: float) -> float:
    """Waits until none of these connections is left; how long that took."""
    eventually(lambda: not old & logins(scene), within=90, every=0.5)
    took = time.monotonic() - since
    run(["ip", "netns", "exec", scene.lab.home.name, "nft", "delete", "table", "ip", "severed"])
    return took


@fault("controller killed with its network, in an apply", ENROLLMENT, stage="bare",
       injected="no packet of its SSH connection passes, then SIGKILL, while its agent waits for the host's lock; a new controller starts",
       expected="the new one reconciles within 15 s; of the old one's session nothing is left after 60 s")
def killed_in_apply(scene: Bare) -> Seen:
    scene.begin()
    scene.assert_well()
    scene.on_vps("systemd-run", "--quiet", "--unit=holder", "flock", "/run/tidegate.lock", "sleep", "300")
    scene.nudge()
    apply = "^/usr/local/lib/tidegate/edge-agent apply"
    eventually(lambda: runs_on_vps(scene, apply), within=20)
    time.sleep(0.5)
    old = logins(scene)
    since = scene.mark()
    began = time.monotonic()
    sever_and_kill(scene)
    scene.on_vps("systemctl", "stop", "holder")
    scene.standalone.start()
    scene.told(r"\breconciled\b", since, within=30)
    reconciled = time.monotonic() - began
    took = gone_after(scene, old, began)
    assert not runs_on_vps(scene, apply), "its agent is still there"
    assert reconciled < 15, f"the new controller reconciled after {reconciled:.1f} s"
    assert took < 60, f"{len(old)} sessions were left for {took:.0f} s"
    return Seen(f"reconciled {reconciled:.1f} s after the kill; {len(old)} session of the old one, gone after {took:.0f} s", reconciled)


@fault("controller killed with its network, in the first push", ENROLLMENT, stage="bare",
       injected="no packet of its SSH connection passes, then SIGKILL, when 1 MB of the agent is there; a new controller starts",
       expected="enrolled within 90 s; of the old one's session nothing is left by then")
def killed_in_push(scene: Bare) -> Seen:
    link = ["tc", "-n", scene.lab.home.name, "qdisc"]
    run([*link, "add", "dev", "eth0", "root", "tbf", "rate", "4mbit", "burst", "32k", "latency", "400ms"])
    try:
        scene.begin()
        pushed = scene.machine.root / "usr/local/lib/.tidegate-new"
        eventually(lambda: sum(file.stat().st_size for file in pushed.glob("part.*")) > _MIB, within=60)
        old = logins(scene)
        began = time.monotonic()
        sever_and_kill(scene)
    finally:
        run([*link, "delete", "dev", "eth0", "root"])
    scene.standalone.start()
    scene.assert_well(90)
    enrolled = time.monotonic() - began
    took = gone_after(scene, old, began)
    assert took < 90, f"{len(old)} sessions were left for {took:.0f} s"
    return Seen(f"enrolled {enrolled:.0f} s after the kill; {len(old)} session of the old one, gone after {took:.0f} s", enrolled)
