"""Where the lab keeps things."""

from __future__ import annotations

import os
import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
REPOSITORY = PACKAGE.parents[2]
STATES = Path("/run/tidegate-lab")

# A namespace's name is a file name and at most 255 bytes; this short form keeps `tg-<id>-<role>` unambiguous.
_INSTANCE = re.compile(r"[a-z0-9]{1,12}\Z")
# What a machine without systemd runs beside process 1, relative to its root.
OWN_INIT = "usr/sbin/lab-init"


def cache() -> Path:
    """The folder of everything that is slow to make: TIDEGATE_CACHE, else `.cache` in the repository."""
    return Path(os.environ.get("TIDEGATE_CACHE") or REPOSITORY / ".cache")


def checked_instance(name: str) -> str:
    """The instance's id, when it is one; raises ValueError otherwise."""
    if not _INSTANCE.match(name):
        raise ValueError(f"{name!r} is no lab id: use 1 to 12 lower-case letters and digits")
    return name


def state(instance: str) -> Path:
    return STATES / checked_instance(instance)


def namespace_name(instance: str, role: str) -> str:
    return f"tg-{checked_instance(instance)}-{role}"
