"""Keeps the booted VPS: runs systemd-nspawn, and starts it again when the machine inside rebooted.

`python3 -m lab.keeper INSTANCE`, started by NspawnMachine. A reboot takes everything of the old kernel's network with it, as
a real one does: the namespace is made anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from . import cgroups, paths
from .commands import attempt
from .network import Network

# systemd-nspawn(1): what it exits with when the container asked for a reboot.
_REBOOT = 133
# systemd's ENVIRONMENT.md: /proc/sys/net writable, as on any host; the rest of /proc/sys belongs to the machine underneath.
# Its lock on the root folder would be left behind by SIGKILL, and the instance has one of its own.
_ENVIRONMENT = {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network", "SYSTEMD_NSPAWN_LOCK": "0"}
# What nspawn's filter refuses, and a host of one's own does not.
_SYSTEM_CALLS = "pidfd_getfd"
# Puts itself into the groups named before `--`, then becomes the program.
_INTO_GROUPS = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 125; shift; done; shift; exec "$@"'


def nspawn(instance: str, folder: Path) -> list[str]:
    name = paths.namespace_name(instance, "vps")
    files = folder / "files"
    limits = [f"--rlimit=RLIMIT_NOFILE=1024:{files.read_text()}"] if files.exists() else []
    begin = ["--as-pid2"] if (folder / "root" / paths.OWN_INIT).exists() else ["--boot"]
    return ["systemd-nspawn", "--quiet", "--directory", str(folder / "root"), *begin, *limits, "--register=no", "--keep-unit",
            f"--machine={name}", "--hostname=vps", f"--network-namespace-path=/run/netns/{name}",
            "--capability=CAP_NET_ADMIN", f"--system-call-filter={_SYSTEM_CALLS}", "--bind=/dev/net/tun", "--link-journal=no", "--resolv-conf=off", "--timezone=off",
            *([f"/{paths.OWN_INIT}"] if begin == ["--as-pid2"] else [])]


def rewire(instance: str) -> None:
    network = Network(instance)
    attempt(["ip", "-n", network.hosts["internet"].name, "link", "del", "v0"])
    network.hosts["vps"].delete()
    network.hosts["vps"].create()
    network.wire_vps()


def tell(folder: Path, **status: object) -> None:
    """Says what the machine does, for NspawnMachine to read."""
    fresh = folder / "status.json.new"
    fresh.write_text(json.dumps(status))
    os.replace(fresh, folder / "status.json")


def main(instance: str) -> None:
    folder = paths.state(instance) / "vps"
    groups = [str(path) for path in cgroups.create(paths.namespace_name(instance, "vps"))]
    boot = 0
    while True:
        boot += 1
        with open(folder / "console.log", "ab") as console:
            process = subprocess.Popen(["sh", "-c", _INTO_GROUPS, "sh", *groups, "--", *nspawn(instance, folder)],
                                       stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                                       env={**os.environ, **_ENVIRONMENT})
            tell(folder, boot=boot, pid=process.pid)
            status = process.wait()
        if status != _REBOOT:
            tell(folder, boot=boot, ended=status)
            return
        rewire(instance)


if __name__ == "__main__":
    main(sys.argv[1])
