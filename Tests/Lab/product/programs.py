"""Where the programs under test are. Each can be pointed elsewhere by an environment variable."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lab import paths, tree
from lab.commands import attempt, run


@dataclass(frozen=True)
class Programs:
    """`folder` holds tidegate and uplink; `agent_bundle` is what `deploy/agent/bundle` made."""

    folder: Path
    agent_bundle: Path

    @property
    def tidegate(self) -> str:
        return str(self.folder / "tidegate")

    @property
    def uplink(self) -> str:
        return str(self.folder / "uplink")

    @property
    def wireguard_go(self) -> str:
        return str(self.folder / "wireguard-go")


def programs() -> Programs:
    """The programs built in this repository: TIDEGATE_BIN, TIDEGATE_AGENT_BUNDLE. Raises FileNotFoundError with the remedy."""
    found = Programs(
        Path(os.environ.get("TIDEGATE_BIN") or paths.REPOSITORY / ".build/release").resolve(),
        Path(os.environ.get("TIDEGATE_AGENT_BUNDLE") or paths.REPOSITORY / ".build/dist/edge-agent-x86_64.tar.gz").resolve(),
    )
    for needed in (found.tidegate, found.uplink, found.agent_bundle):
        if not Path(needed).exists():
            raise FileNotFoundError(f"{needed} is missing: run `make build`")
    return found


def libraries(program: str) -> list[str]:
    """The shared objects that the program loads, its loader too, as ldd(1) finds them."""
    if not attempt(["ldd", program]):
        return []  # a static one
    words = run(["ldd", program]).split()
    return sorted({word for word in words if word.startswith("/")})


def envoy_options() -> list[str]:
    """The flags that hand Envoy to the controller as a file, to be pushed."""
    return ["--envoy-source", str(tree.envoy()), "--envoy-sha256", tree.envoy_sha256(), "--envoy-version", tree.ENVOY_DEFAULT]
