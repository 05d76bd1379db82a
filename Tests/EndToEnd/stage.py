"""The stage of the end-to-end tests: a lab with a controller at home. One at a time.

Most tests share one enrolled VPS (`shared`); those that break it or need another take a fresh one.
"""

from __future__ import annotations

import os
import shutil
import ssl
import unittest
from dataclasses import dataclass
from pathlib import Path

from lab.commands import CommandFailed
from lab.laboratory import Lab
from product.standalone import Standalone

_ENROLLMENT = 120  # seconds: two binaries of 7 and 107 MB are pushed and checked by the far side, on two busy cores


@dataclass
class Stage:
    lab: Lab
    standalone: Standalone


_current: Stage | None = None
_is_shared = False


def shared() -> Stage:
    """The enrolled VPS that tests have in common, its EdgeNode `edge`. Each test brings its own PortBinding and ports."""
    global _is_shared
    if _current is None or not _is_shared:
        made = fresh()
        made.standalone.write_node()
        made.standalone.start()
        made.standalone.wait("EdgeNode", "edge", within=_ENROLLMENT)
        _is_shared = True
    assert _current is not None
    return _current


def fresh(*, uplinks: str = "local", **lab_options) -> Stage:
    """A new lab with a controller that was not started yet; ends the stage before it. For lab_options see Lab.up."""
    global _current, _is_shared
    close()
    lab = Lab(os.environ.get("TIDEGATE_LAB", "e2e")).up(attached=True, **lab_options)
    _current = Stage(lab, Standalone(lab, uplinks=uplinks))
    _is_shared = False
    return _current


def close() -> None:
    global _current
    if _current is not None:
        _current.lab.down()
        _current = None


def keep_evidence(folder: Path, text: str) -> None:
    """Copies what helps to understand a failure, before the stage is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "failure.txt").write_text(text)
    if _current is None:
        return
    (folder / "standalone.log").write_text(_current.standalone.log_text())
    try:
        (folder / "vps-journal.txt").write_text(_current.lab.vps.exec(["journalctl", "--no-pager", "--lines=2000"]))
    except (CommandFailed, RuntimeError, OSError) as error:
        (folder / "vps-journal.txt").write_text(f"not to be had: {error}")
    if (_current.standalone.state / "status").exists():
        # A file that is being written goes while it is copied.
        shutil.copytree(_current.standalone.state / "status", folder / "status", ignore=shutil.ignore_patterns(".*"))


class EndToEnd(unittest.TestCase):
    """A test with the shared stage. `stage`, `lab`, `standalone` are there; see `shared`."""

    stage: Stage
    lab: Lab
    standalone: Standalone

    @classmethod
    def make_stage(cls) -> Stage:
        return shared()

    @classmethod
    def setUpClass(cls) -> None:
        cls.stage = cls.make_stage()
        cls.lab = cls.stage.lab
        cls.standalone = cls.stage.standalone

    def assert_refused(self, action, *arguments, **options) -> None:
        """The action fails because the other side says no; silence is not a no."""
        try:
            answer = action(*arguments, **options)
        except (ConnectionError, ssl.SSLError):
            return
        self.fail(f"was not refused: {answer}")

    def publish(self, name: str, *objects: dict) -> None:
        """Writes a manifest file that goes again when the test ends."""
        self.standalone.write(f"{name}.yaml", *objects)
        self.addCleanup(self._withdraw, name)

    def _withdraw(self, name: str) -> None:
        if (self.standalone.manifests / f"{name}.yaml").exists():
            self.standalone.remove(f"{name}.yaml")
