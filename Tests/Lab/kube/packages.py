"""Packages from PyPI, installed once into the cache by the hashes of a requirements file."""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from lab import paths

# What the double needs.
REQUIREMENTS = Path(__file__).parent / "requirements.txt"


def folder(requirements: Path = REQUIREMENTS) -> Path:
    """Where the packages are. Installs them when the requirements are new."""
    cache = paths.cache() / "kube-python"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    there = cache / wanted
    if (there / "complete").exists():
        return there
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (there / "complete").exists():
            done = subprocess.run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-warn-script-location", "--no-deps",
                 "--require-hashes", "--only-binary", ":all:", "--upgrade", "--target", str(there), "-r", str(requirements)],
                capture_output=True, text=True, timeout=300, check=False)
            if done.returncode != 0:
                raise ImportError(f"pip install -r {requirements}: {done.stderr.strip()[-500:]}")
            (there / "complete").touch()
    return there


def load(name: str, requirements: Path = REQUIREMENTS) -> ModuleType:
    """Imports a module of one of a file's packages. Raises ImportError."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        sys.path.append(str(folder(requirements)))
        importlib.invalidate_caches()
        return importlib.import_module(name)
