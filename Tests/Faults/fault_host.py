"""The VPS itself: its processes die, power and disk fail, it reboots."""

from __future__ import annotations

import time
from contextlib import ExitStack

from lab.commands import CommandFailed, attempt, run
from lab.network import BACKEND
from product import manifests as m
from product.traffic import eventually
from registry import HOST, Seen, fault
from scenes import Bare, ThreeUplinks


def add(scene: ThreeUplinks, port: int) -> None:
    """A change for the controller: the binding `churn` at that port."""
    scene.standalone.write("churn.yaml", m.port_binding("churn", "edge", m.tcp("churn", port, BACKEND, 7000)))


def in_force(scene: ThreeUplinks, port: int, *, within: float) -> float:
    """Waits until the binding `churn` answers there, and takes it away again; how long that took."""
    began = time.monotonic()
    eventually(lambda: scene.answers(port), within=within)
    took = time.monotonic() - began
    scene.standalone.remove("churn.yaml")
    return took


@fault("Envoy killed", HOST, injected="SIGKILL to Envoy", expected="back within 5 s, without the controller", stage="three", quick=True)
def envoy_killed(scene: ThreeUplinks) -> Seen:
    with scene.open_load() as load:
        time.sleep(1)
        began = time.monotonic()
        scene.on_vps("kill", "-KILL", str(scene.envoy()))
        time.sleep(0.1)
        took = scene.back(began, within=20)
    assert took < 5, f"back after {took:.1f} s"
    return Seen("started again by its supervisor", took, len(load.lost()), load.requests)


@fault("new Envoy killed while it takes over", HOST, injected="a hot restart is asked for, and SIGKILL hits the new Envoy before it serves",
       expected="the former one serves on, and the next one takes over by itself; no request is lost", stage="three")
def successor_killed(scene: ThreeUplinks) -> Seen:
    former = scene.envoy()
    with scene.open_load() as load:
        time.sleep(1)
        scene.on_vps("systemctl", "--no-block", "reload", "tidegate-envoy.service")
        # In one go: a new Envoy serves after half a second.
        scene.on_vps("timeout", "20", "sh", "-c", "until pid=$(pgrep --newest --exact envoy) && [ $pid != $1 ] && "
                     "grep -q restart-epoch /proc/$pid/cmdline; do :; done; sleep 0.1; kill -KILL $pid", "sh", str(former))
        began = time.monotonic()
        assert scene.pid("envoy") == former, "the new one served before it was killed, so this shows nothing"
        eventually(lambda: scene.pid("envoy") not in (0, former), within=40)
        took = time.monotonic() - began
        time.sleep(2)
    assert scene.envoy_lives(former), "the former one is gone, so the restart was not hot"
    assert not load.lost(), f"{len(load.lost())} of {load.requests} requests lost: {load.lost()[0].failure}"
    return Seen("another one took over hot", took, 0, load.requests)


@fault("Envoy's supervisor killed", HOST, injected="SIGKILL to the unit's main process", expected="back within 10 s, without the controller", stage="three")
def supervisor_killed(scene: ThreeUplinks) -> Seen:
    with scene.open_load() as load:
        time.sleep(1)
        began = time.monotonic()
        scene.on_vps("kill", "-KILL", scene.property("envoy", "MainPID"))
        time.sleep(0.1)
        took = scene.back(began, within=20)
        time.sleep(3)
        held_up = load.trouble_ended(began)
    assert max(took, held_up) < 10, f"back after {max(took, held_up):.1f} s"
    return Seen("started again by systemd", max(took, held_up), len(load.lost()), load.requests)


@fault("Envoy out of memory", HOST, injected="a memory limit 2 MiB above what Envoy has, then connections until the kernel kills it", stage="three",
       expected="it carries traffic again within 5 s of its death, without the controller")
def envoy_out_of_memory(scene: ThreeUplinks) -> Seen:
    pid = scene.envoy()
    end_limit = scene.machine.limit_memory(pid, 2 << 20)
    held = 0
    try:
        with ExitStack() as crowds:
            while scene.envoy_lives(pid) and held < 10_000:
                try:
                    crowds.enter_context(scene.crowd(count=100))
                    held += 100
                except OSError:
                    break  # Envoy died under them
        eventually(lambda: not scene.envoy_lives(pid), within=5)
        began = time.monotonic()
        took = scene.back(began, within=30)
    finally:
        end_limit()
    assert took < 5, f"back after {took:.1f} s"
    return Seen(f"killed by the kernel within {held + 100} connections, and started again by its supervisor", took)


@fault("Envoy crash-looping", HOST, injected="Envoy's program replaced by one that ends at once, Envoy killed; the controller looks 5 s later",
       expected="the program is found altered and replaced, or the status gives Envoy's last words", stage="three")
def envoy_crash_loops(scene: ThreeUplinks) -> Seen:
    path = scene.on_vps("readlink", "-f", "/usr/local/lib/tidegate/envoy/envoy").strip()
    scene.on_vps("mv", path, path + ".away")
    scene.on_vps("tee", path, input="#!/bin/sh\necho 'the lab broke this program' >&2\nexit 1\n")
    scene.on_vps("chmod", "755", path)
    scene.on_vps("kill", "-KILL", str(scene.envoy()))
    time.sleep(5)
    began = time.monotonic()
    scene.nudge()
    try:
        took = scene.back(began, within=25)
        how = "replaced by a whole one"
    except AssertionError:
        said = scene.condition().get("message", "")
        assert "the lab broke this program" in said, f"the status says neither: {said}"
        scene.on_vps("mv", "-f", path + ".away", path)
        began = time.monotonic()
        took = scene.back(began, within=60)
        how = f"the status said: {said}; back by itself once the program is whole"
    scene.on_vps("rm", "-f", path + ".away")
    return Seen(how, took)


@fault("relay's wireguard-go killed", HOST, injected="SIGKILL to the VPS's wireguard-go", expected="back within 10 s, without the controller",
       stage="three", quick=True)
def wireguard_go_killed(scene: ThreeUplinks) -> Seen:
    with scene.open_load() as load, scene.crowd(count=20) as crowd:
        time.sleep(1)
        began = time.monotonic()
        scene.on_vps("kill", "-KILL", str(scene.pid("wireguard")))
        time.sleep(0.1)
        took = scene.back(began, within=30)
        time.sleep(5)
        held_up = load.trouble_ended(began)
        broken = crowd.broken()
    assert took < 10, f"back after {took:.1f} s"
    return Seen(f"the last request it held up began after {held_up:.1f} s; {len(broken)} of 20 held connections broke", max(took, held_up),
                len(load.lost()), load.requests)


@fault("agent killed in the middle", HOST, injected="SIGKILL to edge-agent during ten changes of the bindings, under load",
       expected="the last change is in force in the end; no request of another binding fails; nothing half-done stays", stage="three")
def agent_killed(scene: ThreeUplinks) -> Seen:
    killed = 0
    with scene.load() as load, scene.crowd(count=50) as crowd:
        for number in range(10):
            add(scene, 7400 + number)
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline:
                try:
                    scene.on_vps("pkill", "-KILL", "-f", "edge-agent apply")
                    killed += 1
                    break
                except CommandFailed:
                    time.sleep(0.005)
        took = in_force(scene, 7409, within=90)
        broken = crowd.broken()
    assert killed >= 3, f"only {killed} were caught"
    assert broken == [] and load.failures == [], f"{broken[:1]} {load.failures[:1]}"
    left = [one for one in scene.on_vps("find", "/etc/tidegate", "/usr/local/lib/tidegate").splitlines() if "staging/" in one or ".tmp" in one]
    assert left == [], left
    return Seen(f"{killed} agents killed", took, 0, load.requests)


@fault("power cut during a write", HOST, injected="the VPS dies six times while bindings are added, and boots with what its disk held", stage="three",
       expected="every file is old or new, none empty; traffic is back without the controller; the last change is in force in the end")
def power_cut(scene: ThreeUplinks) -> Seen:
    folder = scene.machine.root / "etc/tidegate"
    slowest = 0.0
    for number in range(6):
        add(scene, 7420 + number)
        time.sleep(0.05 + 0.07 * number)
        scene.machine.cut_power()
        empty = [str(path) for path in folder.rglob("*") if path.is_file() and path.stat().st_size == 0]
        assert empty == [], f"empty after the cut: {empty}"
        began = time.monotonic()
        scene.machine.start()
        scene.machine.wait_ready()
        slowest = max(slowest, scene.back(began, within=90))
    in_force(scene, 7425, within=90)
    return Seen(f"carried traffic at the latest {slowest:.1f} s after power came back", slowest)


@fault("VPS rebooted during an apply", HOST, injected="an orderly reboot in the moment a binding is added", stage="three",
       expected="traffic is back by itself after the boot; the binding is in force in the end")
def rebooted(scene: ThreeUplinks) -> Seen:
    add(scene, 7430)
    time.sleep(0.1)
    began = time.monotonic()
    scene.machine.reboot()
    booted = time.monotonic() - began
    took = scene.back(began, within=90)
    in_force(scene, 7430, within=90)
    return Seen(f"sshd answered after {booted:.1f} s, traffic after {took:.1f} s", took)


@fault("VPS powered off for a while", HOST, injected="power and link cut, so that nothing tells the controller; again once the status says it",
       stage="three", expected="the status says that it is away, long before the next look is due (180 s); back by itself")
def away(scene: ThreeUplinks) -> Seen:
    # After whatever was before it is connected, and has no look ahead.
    scene.nudge()
    time.sleep(10)
    scene.wait_ready()
    scene.machine.cut_power()
    scene.lab.internet.configure(["link set v0 down"])
    cut = time.monotonic()
    try:
        said = scene.wait_not_ready("Unreachable|ConnectionLost", within=120)
        noticed = time.monotonic() - cut
    finally:
        scene.lab.internet.configure(["link set v0 up"])
    scene.machine.start()
    began = time.monotonic()
    scene.machine.wait_ready()
    took = scene.back(began, within=90)
    scene.nudge()
    scene.wait_ready(60)
    return Seen(f"after {noticed:.0f} s the status said: {said}", took)


@fault("disk full", HOST, injected="the VPS's disk filled to the last byte, then a binding is added; room again later",
       expected="the status says so; traffic goes on; in force once there is room", stage="three")
def disk_full(scene: ThreeUplinks) -> Seen:
    fillers = [f"{scene.machine.root}/var/filler{number}" for number in (1, 2)]
    with scene.load() as load:
        try:
            for filler, size in zip(fillers, ("64K", "512")):
                attempt(["dd", "if=/dev/zero", f"of={filler}", f"bs={size}"])
            add(scene, 7440)
            said = scene.wait_not_ready("[Ss]pace|DiskFull", within=30)
            time.sleep(2)
        finally:
            run(["rm", "-f", *fillers])
        took = in_force(scene, 7440, within=90)
        scene.wait_ready()
    assert load.failures == [], load.failures[:1]
    return Seen(f"the status said: {said}", took, 0, load.requests)


@fault("inodes full", HOST, injected="the VPS's disk has no inode left, then a binding is added; inodes again later",
       expected="the status says so; traffic goes on; in force once there are some", stage="three")
def inodes_full(scene: ThreeUplinks) -> Seen:
    disk = str(scene.machine.folder / "disk")
    used = int(run(["df", "--output=iused", disk]).split()[-1])
    with scene.load() as load:
        try:
            run(["mount", "-o", f"remount,nr_inodes={used + 1}", disk])
            add(scene, 7441)
            said = scene.wait_not_ready("[Ss]pace|inode|DiskFull", within=30)
        finally:
            run(["mount", "-o", "remount,nr_inodes=1000000", disk])
        took = in_force(scene, 7441, within=90)
        scene.wait_ready()
    assert load.failures == [], load.failures[:1]
    return Seen(f"the status said: {said}", took, 0, load.requests)


@fault("disk full when the agent and Envoy arrive", HOST, injected="a VPS with 48 MiB of disk, enlarged later",
       expected="the status says so; enrolled by itself once there is room", stage="bare")
def disk_full_at_enrollment(scene: Bare) -> Seen:
    disk = str(scene.machine.folder / "disk")
    run(["mount", "-o", "remount,size=48m", disk])
    scene.begin()
    said = scene.wait_not_ready("[Ss]pace|DiskFull", within=60)
    run(["mount", "-o", "remount,size=1g", disk])
    took = scene.assert_well(within=200)
    return Seen(f"the status said: {said}", took)


@fault("a port taken by another process", HOST, injected="a process on the VPS holds the port when the binding comes, and ends later",
       expected="PortInUse names the process; other bindings are untouched; in force once it is free", stage="three")
def port_taken(scene: ThreeUplinks) -> Seen:
    script = "import socket, time\ns = socket.create_server(('0.0.0.0', 7450), reuse_port=True)\ntime.sleep(600)"
    squatter = scene.machine.namespace.start(["python3", "-c", script])
    try:
        with scene.load() as load:
            time.sleep(0.5)
            add(scene, 7450)
            said = scene.standalone.wait_binding("churn", "churn", ready=False, reason="PortInUse")["message"]
            squatter.kill()
            squatter.wait()
            scene.nudge()
            took = in_force(scene, 7450, within=20)
        assert load.failures == [], load.failures[:1]
        return Seen(f"the binding said: {said}", took, 0, load.requests)
    finally:
        squatter.kill()
