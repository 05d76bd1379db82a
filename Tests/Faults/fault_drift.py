"""Drift: what a hand, or another program, changed. It is put right, and an event says what was found."""

from __future__ import annotations

import time

from product.traffic import eventually
from registry import DRIFT, Seen, fault
from scenes import ThreeUplinks

_REPAIRED = "put right at the controller's next look (at the latest after 3 min); the event DriftRepaired says what was found"
_BY_ITSELF = "the uplink puts it right within 3 s by itself; the event DriftRepaired says what was found"


def repaired(scene: ThreeUplinks, about: str, is_right, *, within: float = 20) -> Seen:
    """The controller looks now, the thing is right again, the event tells of it."""
    since, began = scene.mark(), time.monotonic()
    scene.nudge()
    eventually(is_right, within=within)
    took = time.monotonic() - began
    line = scene.event("DriftRepaired", since, about=about)
    scene.back(began, within=20)
    return Seen(f"event: {message(line)}", took)


def message(line: str) -> str:
    """The message of a log line in text form: what stands before its fields."""
    return line.split(" kind=")[0].split(" ", 3)[-1].strip()


@fault("wg-relay deleted by hand", DRIFT, injected="ip link delete wg-relay on the VPS (wireguard-go's)",
       expected="back within 10 s without the controller; the event DriftRepaired says what was found", stage="three", quick=True)
def relay_deleted(scene: ThreeUplinks) -> Seen:
    since, began = scene.mark(), time.monotonic()
    scene.on_vps("ip", "link", "delete", "wg-relay")
    eventually(lambda: "wg-relay" in scene.on_vps("ip", "-o", "address"), within=10)
    took = scene.back(began, within=20)
    assert took < 10, f"traffic was back after {took:.1f} s"
    scene.nudge()
    return Seen(f"event: {message(scene.event('DriftRepaired', since, about='wg-relay'))}", took)


@fault("address of wg-relay removed by hand", DRIFT, injected="ip address flush dev wg-relay", expected=_REPAIRED, stage="three")
def relay_address(scene: ThreeUplinks) -> Seen:
    scene.on_vps("ip", "address", "flush", "dev", "wg-relay")
    return repaired(scene, "wg-relay", lambda: "10.200.0.1/24" in scene.on_vps("ip", "-o", "address", "show", "dev", "wg-relay"))


@fault("unit edited by hand", DRIFT, injected="another LimitNOFILE in tidegate-envoy.service, then daemon-reload", expected=_REPAIRED,
       stage="three", quick=True)
def unit_edited(scene: ThreeUplinks) -> Seen:
    file = scene.machine.root / "etc/systemd/system/tidegate-envoy.service"
    before = file.read_text()
    scene.on_vps("sed", "-i", "s/^LimitNOFILE=.*/LimitNOFILE=1024/", "/etc/systemd/system/tidegate-envoy.service")
    assert file.read_text() != before
    scene.on_vps("systemctl", "daemon-reload")
    return repaired(scene, "tidegate-envoy.service", lambda: file.read_text() == before)


@fault("units stopped, disabled and masked by hand", DRIFT,
       injected="systemctl disable --now, then mask, of tidegate-envoy and tidegate-boot", expected=_REPAIRED, stage="three")
def units_masked(scene: ThreeUplinks) -> Seen:
    units = ["tidegate-envoy.service", "tidegate-boot.service"]
    scene.on_vps("systemctl", "disable", "--now", *units)
    for unit in units:
        scene.on_vps("rm", f"/etc/systemd/system/{unit}")
    scene.on_vps("systemctl", "mask", *units)

    def is_right() -> bool:
        return scene.property("envoy", "ActiveState") == "active" and all(
            scene.property(one, "UnitFileState") == "enabled" for one in ("envoy", "boot"))
    return repaired(scene, "tidegate-envoy.service", is_right)


@fault("Envoy's files edited by hand", DRIFT, injected="lds.pb emptied, cds.pb removed, a stray file laid beside them",
       expected=_REPAIRED + "; nothing is lost meanwhile", stage="three")
def envoy_files(scene: ThreeUplinks) -> Seen:
    folder = scene.machine.root / "etc/tidegate/envoy"
    with scene.load() as load, scene.crowd(count=20) as crowd:
        scene.on_vps("rm", "/etc/tidegate/envoy/cds.pb")
        scene.on_vps("touch", "/etc/tidegate/envoy/sds/stray.json")
        scene.on_vps("tee", "/etc/tidegate/envoy/lds.pb", input="")
        time.sleep(1)
        seen = repaired(scene, "Envoy", lambda: (folder / "lds.pb").stat().st_size > 0 and (folder / "cds.pb").exists()
                        and not (folder / "sds/stray.json").exists())
        broken = crowd.broken()
    assert broken == [] and load.failures == [], f"{broken[:1]} {load.failures[:1]}"
    return Seen(seen.text, seen.recovery, 0, load.requests)


@fault("Envoy's program removed by hand", DRIFT, injected="rm of the envoy binary while it runs, then systemctl restart", expected=_REPAIRED, stage="three")
def envoy_program(scene: ThreeUplinks) -> Seen:
    scene.on_vps("sh", "-c", "rm -f /usr/local/lib/tidegate/envoy-*/envoy")
    scene.on_vps("systemctl", "--no-block", "restart", "tidegate-envoy.service")
    time.sleep(2)

    def is_right() -> bool:
        return scene.property("envoy", "ActiveState") == "active" and scene.answers()["name"] == "echo"
    return repaired(scene, "Envoy", is_right, within=60)


@fault("the stored document damaged by hand", DRIFT, injected="document.json and state.json cut to half their length", stage="three",
       expected="written anew, or an error that names the file and the next step; traffic goes on")
def document_damaged(scene: ThreeUplinks) -> Seen:
    folder = scene.machine.root / "etc/tidegate"
    before = (folder / "state.json").read_bytes()
    with scene.load() as load:
        document = (folder / "document.json").stat().st_size
        scene.on_vps("truncate", "--size", str(document // 2), "/etc/tidegate/document.json")
        since = scene.mark()
        scene.nudge()
        eventually(lambda: (folder / "document.json").stat().st_size >= document - 200, within=20)
        scene.told("reconciled", since)
        scene.on_vps("truncate", "--size", "100", "/etc/tidegate/state.json")
        scene.nudge()
        said = scene.wait_not_ready("state.json", within=20)
        scene.on_vps("rm", "/etc/tidegate/state.json")
        scene.nudge()
        scene.wait_ready()
    assert before and load.failures == [], load.failures[:1]
    return Seen(f"the document was written anew; of the state: {said}", None, 0, load.requests)


@fault("DNAT table flushed by hand", DRIFT, injected="nft flush ruleset on an uplink", expected=_BY_ITSELF, stage="three", quick=True)
def table_flushed(scene: ThreeUplinks) -> Seen:
    return put_right_by_uplink(scene, lambda: scene.on_victim("nft", "flush", "ruleset"),
                               lambda: "tidegate" in scene.on_victim("nft", "list", "tables"))


@fault("one DNAT entry deleted by hand", DRIFT, injected="nft flush of the map's elements on an uplink", expected=_BY_ITSELF, stage="three")
def entry_deleted(scene: ThreeUplinks) -> Seen:
    name = next(line.split()[1] for line in scene.on_victim("nft", "list", "maps").splitlines() if line.strip().startswith("map "))

    def is_right() -> bool:
        return "elements" in scene.on_victim("nft", "list", "map", "ip", "tidegate", name)
    return put_right_by_uplink(scene, lambda: scene.on_victim("nft", "flush", "map", "ip", "tidegate", name), is_right)


@fault("wg-uplink deleted by hand", DRIFT, injected="ip link delete wg-uplink on an uplink", expected=_BY_ITSELF, stage="three")
def uplink_deleted(scene: ThreeUplinks) -> Seen:
    return put_right_by_uplink(scene, lambda: scene.on_victim("ip", "link", "delete", "wg-uplink"),
                               lambda: "wg-uplink" in scene.on_victim("ip", "-o", "address"))


@fault("forwarding turned off by hand", DRIFT, injected="sysctl net.ipv4.ip_forward=0 on an uplink's host", expected=_BY_ITSELF, stage="three")
def forwarding_off(scene: ThreeUplinks) -> Seen:
    return put_right_by_uplink(scene, lambda: scene.on_victim("sysctl", "-q", "-w", "net.ipv4.ip_forward=0"),
                               lambda: scene.on_victim("sysctl", "-n", "net.ipv4.ip_forward").strip() == "1")


def put_right_by_uplink(scene: ThreeUplinks, break_it, is_right) -> Seen:
    # What the uplink has put right before must be known, or the event could be of then.
    eventually(lambda: scene.nudge() or scene.all_tell(), within=30, every=1)
    with scene.open_load() as load:
        time.sleep(1)
        break_it()
        # From here on: the way of a command to a machine in QEMU takes a second.
        began = time.monotonic()
        eventually(is_right, within=40)
        took = time.monotonic() - began
        time.sleep(4)
        held_up = load.trouble_ended(began)
    assert took < 3, f"right after {took:.1f} s"
    scene.settle()
    since = scene.mark()
    # An uplink that is busy may miss being asked; the controller looks again anyway, later.
    eventually(lambda: scene.nudge() or "put right by itself" in scene.standalone.log_text()[since:], within=30, every=1)
    line = scene.event("DriftRepaired", since, about="uplink 2")
    return Seen(f"right after {took:.1f} s; event: {message(line)}", max(took, held_up), len(load.lost()), load.requests)
