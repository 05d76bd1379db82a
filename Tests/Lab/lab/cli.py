"""`tidegate-lab`: up, down, status, shell, and the making of what is cached."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time

from . import leftovers, network, qemu, tree
from .laboratory import Lab


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    return options.action(options) or 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="tidegate-lab", description=__doc__)
    top.add_argument("--id", default="lab", help="the instance; several can be up at once (default: lab)")
    verbs = top.add_subparsers(required=True, metavar="VERB")

    up = verbs.add_parser("up", help="build the lab, or build it anew")
    up.add_argument("--rtt", type=float, default=0, metavar="MS", help="round-trip time between home and the internet")
    up.add_argument("--kernel-wireguard", action="store_true", help="the VPS is a QEMU machine with a kernel of its own (slow)")
    up.add_argument("--release", default=tree.RELEASE, choices=tree.RELEASES, help="the VPS's Debian (default: %(default)s)")
    up.set_defaults(action=go_up)

    down = verbs.add_parser("down", help="end and remove it")
    down.add_argument("--all", action="store_true", help="every instance on this machine")
    down.set_defaults(action=go_down)

    verbs.add_parser("status", help="what is up").set_defaults(action=show)

    shell = verbs.add_parser("shell", help="a shell, or one command, on a host of the lab")
    shell.add_argument("host", nargs="?", default="home", choices=network.ROLES)
    shell.add_argument("command", nargs=argparse.REMAINDER)
    shell.set_defaults(action=enter)

    cache = verbs.add_parser("cache", help="make what is slow to make: the VPS's Debian and Envoy")
    cache.add_argument("--kernel-wireguard", action="store_true", help="the QEMU machine's image too")
    cache.add_argument("--demo", action="store_true", help="no other Debian than the demo's")
    cache.set_defaults(action=fill_cache)

    verbs.add_parser("envoy", help="the path of the cached Envoy").set_defaults(action=lambda options: print(tree.envoy()))
    return top


def go_up(options: argparse.Namespace) -> None:
    begin = time.monotonic()
    Lab(options.id).up(rtt_ms=options.rtt, kernel_wireguard=options.kernel_wireguard, release=options.release)
    print(f"lab {options.id} is up ({time.monotonic() - begin:.1f} s)")
    show(options)


def go_down(options: argparse.Namespace) -> None:
    for instance in leftovers.instances() if options.all else [options.id]:
        begin = time.monotonic()
        Lab(instance).down()
        print(f"lab {instance} is down ({time.monotonic() - begin:.1f} s)")


def show(options: argparse.Namespace) -> int:
    lab = Lab(options.id)
    if not lab.is_up:
        others = [name for name in leftovers.instances() if name != options.id]
        print(f"lab {options.id} is not up" + (f"; there are: {', '.join(others)}" if others else ""))
        return 1
    print(f"""\
  VPS        {network.VPS}  {network.VPS6}  (root, key {lab.operator_key.private})
  clients    {network.CLIENT}  {network.SECOND_CLIENT}
  home       {network.HOME}  behind NAT {network.NAT}; further uplinks {', '.join(network.UPLINKS)}
  backends   {network.BACKEND} and {network.SERVICES}; ports in Tests/Lab/lab/backends.py
  a shell    make lab-shell NS=home    (or: {', '.join(network.ROLES)})""")
    return 0


def enter(options: argparse.Namespace) -> None:
    lab = Lab(options.id)
    if not lab.is_up:
        sys.exit(f"lab {options.id} is not up: make lab-up")
    os.environ["PS1"] = f"{options.host}# "
    if options.host == "vps":
        known = lab.folder / "known_hosts"
        known.write_text(lab.known_hosts())
        argv = ssh_argv(lab, str(known), options.command)
    else:
        argv = lab.network.hosts[options.host].argv(options.command or ["bash", "--norc"])
    os.execvp(argv[0], argv)


def ssh_argv(lab: Lab, known: str, command: list[str]) -> list[str]:
    """ssh hands the far side one line for a shell: so each word is quoted for it."""
    return lab.internet.argv(["ssh", "-i", str(lab.operator_key.private), "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes",
                              *([] if command else ["-t"]), f"root@{network.VPS}", *(shlex.quote(word) for word in command)])


def fill_cache(options: argparse.Namespace) -> None:
    for release in [tree.RELEASE] if options.demo else tree.RELEASES:
        print(f"  VPS's Debian {release}: {tree.vps_tree(release)}")
    print(f"  Envoy {tree.ENVOY_DEFAULT}: {tree.envoy()}")
    if options.kernel_wireguard:
        print(f"  QEMU machine: {qemu.image().disk}")
