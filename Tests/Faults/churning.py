"""The steps of the churn, and what is sampled meanwhile."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

from lab.commands import CommandFailed
from lab.network import BACKEND
from load import Crowd
from product import manifests as m
from product.traffic import eventually
from scenes import NAME, ThreeUplinks

# Seconds in which requests may be lost after the part died.
_AFTER_UPLINK, _AFTER_ENVOY = 3, 5
_BINDINGS = 12


class Churn:
    """One random step at a time; remembers when requests may be lost, whose connections may break, and which broke besides."""

    def __init__(self, scene: ThreeUplinks, chance: random.Random, crowd: Crowd):
        self.scene, self.chance, self.crowd = scene, chance, crowd
        self.broken: list[str] = []
        self.count: Counter[str] = Counter()
        self.windows: list[tuple[float, float]] = []
        self.may_break: set[str] = set()
        self.kinds = [(self.add, 6), (self.remove, 4), (self.certificate, 2), (self.kill_agent, 2), (self.kill_controller, 1),
                      (self.kill_uplink, 1), (self.restart_uplink, 1), (self.change_replicas, 1), (self.kill_envoy, 1), (self.flush_rules, 1)]

    @property
    def steps(self) -> int:
        return sum(self.count.values())

    def told(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in sorted(self.count.items()))

    def allows(self, moment: float) -> bool:
        return any(begin <= moment <= end for begin, end in self.windows)

    def step(self) -> None:
        work, = self.chance.choices([kind for kind, _ in self.kinds], [weight for _, weight in self.kinds])
        work()
        self.count[work.__name__.replace("_", " ")] += 1
        time.sleep(self.chance.uniform(0.2, 2))

    def count_broken(self) -> None:
        """Connections by an uplink that was killed or stopped may be gone."""
        self.broken += [one for one in self.crowd.broken() if not any(address in one for address in self.may_break)]

    def calm(self) -> None:
        """All parts run, and the controller has done its work."""
        self.scene.settle(90)
        self.scene.nudge()
        self.scene.wait_ready(60)

    # The kinds

    def add(self) -> None:
        """A binding that is new, or has another target."""
        number = self.chance.randrange(_BINDINGS)
        target = self.chance.choice((7000, 7001))
        make = self.chance.choice((m.tcp, m.tcp, m.udp))
        self.scene.standalone.write(f"churn{number}.yaml", m.port_binding(f"churn{number}", "edge", make(f"churn{number}", 7500 + number, BACKEND, target)))

    def remove(self) -> None:
        present = sorted(self.scene.standalone.manifests.glob("churn*.yaml"))
        if present:
            self.chance.choice(present).unlink()

    def certificate(self) -> None:
        self.scene.edge = self.scene.lab.certificates.issue(f"edge-{time.monotonic_ns()}", NAME)
        self.scene.write_web()

    def kill_agent(self) -> None:
        self.add()
        try:
            self.scene.on_vps("pkill", "-KILL", "-f", "edge-agent apply")
        except CommandFailed:
            pass  # none was at work

    def kill_controller(self) -> None:
        self.scene.standalone.kill()
        self.scene.standalone.start()

    def kill_uplink(self) -> None:
        began = time.monotonic()
        self.scene.signal_victim(signal.SIGKILL)
        self.windows.append((began - 10, began + _AFTER_UPLINK))
        self.may_break.add(self.scene.victim_address)
        time.sleep(8)
        self.scene.revive()
        self.scene.settle(60)

    def restart_uplink(self) -> None:
        """As a rolling update does, its drain included."""
        self.may_break.add(self.scene.victim_address)
        self.scene.uplinks[self.scene.victim].stop(40)
        self.scene.start_uplink(self.scene.victim)
        self.scene.settle(60)

    def change_replicas(self) -> None:
        """The third uplink is wanted no more, and then again."""
        self.may_break.add(self.scene.victim_address)
        self.scene.uplinks[self.scene.victim].stop(40)
        self._want_replicas(2)
        eventually(lambda: len(self.scene.standalone.status("EdgeNode", "edge").get("uplinks", [])) == 2, within=30)
        self._want_replicas(3)
        self.scene.start_uplink(self.scene.victim)
        self.scene.settle(60)

    def _want_replicas(self, count: int) -> None:
        self.scene.spec = {"uplink": {"replicas": count}}
        self.scene.write_node()

    def kill_envoy(self) -> None:
        """Its connections break with it: others are held from then on."""
        self.count_broken()
        began = time.monotonic()
        self.scene.on_vps("kill", "-KILL", str(self.scene.envoy()))
        self.windows.append((began - 1, began + _AFTER_ENVOY))
        self.scene.back(time.monotonic(), within=_AFTER_ENVOY)
        self.crowd.renew()
        self.may_break.clear()

    def flush_rules(self) -> None:
        began = time.monotonic()
        self.scene.on_victim("nft", "flush", "ruleset")
        self.windows.append((began - 5, began + _AFTER_UPLINK))
        eventually(lambda: "tidegate" in self.scene.on_victim("nft", "list", "tables"), within=10)
        self.may_break.add(self.scene.victim_address)


class Samples:
    """Resident bytes and open files of the controller and of the uplinks that are never killed."""

    def __init__(self, scene: ThreeUplinks):
        self.scene = scene
        self.seen: dict[str, list[tuple[int, int, int]]] = {}

    def _pids(self) -> dict[str, int | None]:
        process = self.scene.standalone.process
        found = {f"uplink {ordinal}": self.scene.uplinks[ordinal].pid() for ordinal in (0, 1)}
        return found | ({"controller": process.pid} if process is not None else {})

    def take(self) -> None:
        for name, pid in self._pids().items():
            try:
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                self.seen.setdefault(name, []).append((pid, pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd"))))
            except FileNotFoundError:
                continue  # between two lives

    def settle(self) -> None:
        """What is left when all has come to rest."""
        time.sleep(5)
        self.take()

    def _ends(self, name: str) -> tuple[tuple[int, int], tuple[int, int]]:
        """Bytes and files of the last process of that name: after its first fifth, when it is warm, and at the end."""
        last = self.seen[name][-1][0]
        own = [sample[1:] for sample in self.seen[name] if sample[0] == last]
        return own[len(own) // 5], own[-1]

    def told(self) -> str:
        def one(name: str) -> str:
            (bytes_before, files_before), (bytes_after, files_after) = self._ends(name)
            return f"{name}: {bytes_before / 2**20:.0f} → {bytes_after / 2**20:.0f} MiB, {files_before} → {files_after} files"
        return "; ".join(one(name) for name in sorted(self.seen))

    def check(self) -> None:
        for name in self.seen:
            (bytes_before, files_before), (bytes_after, files_after) = self._ends(name)
            assert bytes_after < bytes_before * 1.25 + (4 << 20), f"{name} grew from {bytes_before:,} to {bytes_after:,} bytes"
            assert files_after <= files_before + 8, f"{name}: from {files_before} to {files_after} open files"
