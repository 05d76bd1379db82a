"""`tidegate standalone` at home, with a folder of manifests and a state folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import yaml

from lab.commands import run
from lab.laboratory import Lab
from lab.network import VPS

from . import manifests
from .manifests import Manifest
from .programs import envoy_options, programs


class NotSeen(AssertionError):
    """A condition did not come within its time; the message holds the last status and the end of the log."""


class Standalone:
    """The controller and uplink 0, in the namespace `home`."""

    def __init__(self, lab: Lab, *, name: str = "standalone", uplinks: str = "local"):
        self.lab = lab
        self.programs = programs()
        self.folder = lab.folder / name
        self.manifests = self.folder / "manifests"
        self.state = self.folder / "state"
        self.log = self.folder / "log"
        self.uplinks = uplinks
        self.process: subprocess.Popen | None = None
        self.manifests.mkdir(parents=True, mode=0o700)

    # Manifests

    def write(self, file: str, *objects: Manifest) -> None:
        """Puts a manifest file in place whole, as an editor does that renames."""
        self.write_text(file, manifests.text(*objects))

    def write_text(self, file: str, text: str | bytes) -> None:
        fresh = self.manifests / f".{file}.new"
        fresh.touch(mode=0o600)
        fresh.write_bytes(text if isinstance(text, bytes) else text.encode())
        os.chown(fresh, self.manifests.stat().st_uid, -1)
        os.replace(fresh, self.manifests / file)

    def remove(self, file: str) -> None:
        (self.manifests / file).unlink()

    def write_node(self, name: str = "edge", address: str = VPS, *, secret: dict[str, str] | None = None, **spec) -> None:
        """The EdgeNode and its SSH Secret, with the key that the VPS knows; `secret` adds values to it, or replaces them."""
        values = {"privateKey": self.lab.operator_key.private_text, "knownHosts": self.lab.known_hosts(address), **(secret or {})}
        self.write("node.yaml", manifests.edge_node(name, address, **spec), manifests.ssh_secret("vps-ssh", **values))

    # The process

    def start(self, *options: str, log_level: str = "debug", clock: Path | None = None, ordinary: bool = False) -> "Standalone":
        """`clock`: a file with the seconds by which the controller's clock of day is off, such as `+3600`; followed as it changes.
        `ordinary`: as a user without any right."""
        if self.process is not None and self.process.poll() is None:
            raise RuntimeError("it runs already")
        argv = [self.programs.tidegate, "standalone", "--manifests", str(self.manifests), "--state", str(self.state),
                "--agent-bundle", str(self.programs.agent_bundle), *envoy_options(), "--uplinks", self.uplinks, *options]
        if ordinary:
            run(["chown", "-R", "65534:65534", str(self.folder)])
            for folder in (self.lab.folder, self.lab.folder.parent):
                folder.chmod(0o711)
            argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all",
                    "--inh-caps=-all", *argv]
        with open(self.log, "ab") as log:
            self.process = self.lab.home.start(argv, log=log, env={"LOG_FORMAT": "text", "LOG_LEVEL": log_level} | faked(clock))
        return self

    def stop(self, timeout: float = 30) -> int:
        """Asks it to end and returns its exit status."""
        if self.process is None:
            raise RuntimeError("it was never started")
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def command(self, *arguments: str, timeout: float = 30) -> str:
        """Runs `tidegate` with these arguments at home and returns what it printed."""
        return self.lab.home.run([self.programs.tidegate, *arguments], timeout=timeout)

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # What it says

    def status(self, kind: str, name: str, namespace: str = "default") -> dict:
        """The object's status as Kubernetes would show it. Empty while there is none."""
        file = self.state / "status" / namespace / f"{kind.lower()}-{name}.yaml"
        try:
            return (yaml.safe_load(file.read_text()) or {}).get("status") or {}
        except FileNotFoundError:
            return {}

    def condition(self, kind: str, name: str, condition: str, namespace: str = "default") -> dict:
        return next((one for one in self.status(kind, name, namespace).get("conditions", []) if one["type"] == condition), {})

    def wait(self, kind: str, name: str, condition: str = "Ready", status: str = "True", *, reason: str | None = None,
             within: float = 60, namespace: str = "default") -> dict:
        """The condition, once it is as wanted. Raises NotSeen."""
        deadline = time.monotonic() + within
        while True:
            now = self.condition(kind, name, condition, namespace)
            if now.get("status") == status and reason in (None, now.get("reason")):
                return now
            self._fail_late(deadline, f"{kind} {namespace}/{name}: {condition}={status}" + (f" ({reason})" if reason else ""),
                            self.status(kind, name, namespace))

    def wait_binding(self, name: str, binding: str, *, ready: bool = True, reason: str | None = None, within: float = 30,
                     namespace: str = "default") -> dict:
        """The entry of one binding in its PortBinding's status, once it is as wanted. Raises NotSeen."""
        deadline = time.monotonic() + within
        while True:
            for one in self.status("PortBinding", name, namespace).get("bindings", []):
                if one["name"] == binding and one["ready"] == ready and reason in (None, one["reason"]):
                    return one
            self._fail_late(deadline, f"binding {binding} of {namespace}/{name}: ready={ready}" + (f" ({reason})" if reason else ""),
                            self.status("PortBinding", name, namespace))

    def _fail_late(self, deadline: float, wanted: str, status: dict) -> None:
        ended = self.process is not None and self.process.poll() is not None
        if ended or time.monotonic() > deadline:
            state = f"standalone ended with {self.process.returncode}" if self.process and ended else "not so in time"
            tail = "\n".join(self.log_text().splitlines()[-25:])
            raise NotSeen(f"{wanted}: {state}\nstatus: {yaml.safe_dump(status)}\nlog ends:\n{tail}")
        time.sleep(0.05)


def faked(clock: Path | None) -> dict[str, str]:
    """The environment of a program whose clock of day is off (libfaketime); timers go on by the real one."""
    if clock is None:
        return {}
    timers = clock.with_name("real_timers.so")
    if not timers.exists():
        run(["clang", "-shared", "-fPIC", "-o", str(timers), str(Path(__file__).with_name("real_timers.c"))])
    return {"LD_PRELOAD": f"{timers} /usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
