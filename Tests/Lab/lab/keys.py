"""SSH keys of the lab's hosts and users, made anew for every `up`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .commands import run


@dataclass(frozen=True)
class SSHKey:
    """A key pair in files, in OpenSSH's format."""

    private: Path

    @property
    def private_text(self) -> str:
        return self.private.read_text()

    @property
    def public_line(self) -> str:
        return self.private.with_name(self.private.name + ".pub").read_text().strip()


def make(folder: Path, name: str, kind: str = "ed25519", *, passphrase: str = "", pem: bool = False) -> SSHKey:
    """Makes a key pair `folder/name`. `kind` is ed25519, ecdsa or rsa; `pem` writes the older PEM format.

    The passphrase stands on ssh-keygen's command line for a moment: it protects nothing outside the lab.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name
    argv = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", f"{name}@lab", "-f", str(target)]
    if kind == "rsa":
        argv += ["-b", "2048"]
    if pem:
        argv += ["-m", "PEM"]
    run(argv)
    os.chmod(target, 0o600)
    return SSHKey(target)


def known_hosts_line(address: str, public_line: str, *, port: int = 22) -> str:
    """One line of a known_hosts file, as `ssh-keyscan` prints it."""
    kind, blob = public_line.split()[:2]
    host = address if port == 22 else f"[{address}]:{port}"
    return f"{host} {kind} {blob}\n"
