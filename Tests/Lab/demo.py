#!/usr/bin/python3
"""`make demo`: a folder of manifests, a real VPS, and traffic of every kind through it, as a table. By another carrier than WireGuard where
CARRIER names it.

Leaves nothing behind. Exits with 1 when any line of the table failed.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lab.certificates import Authority  # noqa: E402
from lab.laboratory import Lab  # noqa: E402
from lab.network import BACKEND, CLIENT, VPS  # noqa: E402
from product import manifests as m  # noqa: E402
from product import traffic  # noqa: E402
from product.standalone import NotSeen, Standalone  # noqa: E402

EDGE = "edge.example.test"
_BEGIN = time.monotonic()


@dataclass
class Line:
    """One line of the table. `see` does the deed, and returns what the backend saw."""

    binding: str
    mode: str
    port: int
    sent: str
    see: Callable[[], str]


def say(text: str) -> None:
    print(f"{time.monotonic() - _BEGIN:6.1f} s  {text}", flush=True)


def write_manifests(standalone: Standalone, clients: Authority) -> None:
    lab = standalone.lab
    edge = lab.certificates.issue("edge", EDGE)
    carrier = os.environ.get("CARRIER")
    standalone.write_node(**({"tunnel": {"carriers": [carrier]}} if carrier else {}))
    standalone.write(
        "bindings.yaml",
        m.port_binding(
            "demo", "edge",
            m.tcp("tcp", 7000, BACKEND, 7000),
            m.udp("udp", 7000, BACKEND, 7000),
            m.udp("udp-large", 7001, BACKEND, 7000, maxDatagramBytes=9000),
            m.tcp("proxy-v1", 7010, BACKEND, 7010, proxyProtocol=True),
            m.tcp("proxy-v2", 7011, BACKEND, 7010, proxyProtocol=True, proxyProtocolVersion="V2"),
            m.tcp("passthrough-one", 8443, BACKEND, 7443, tls=m.passthrough("one.example.test")),
            m.tcp("passthrough-two", 8443, BACKEND, 7444, tls=m.passthrough("two.example.test")),
            m.tcp("offload", 443, BACKEND, 7000, tls=m.offload("edge-tls")),
            m.tcp("mutual", 9443, BACKEND, 7000, tls=m.mutual("edge-mtls")),
        ),
        m.tls_secret("edge-tls", edge),
        m.tls_secret("edge-mtls", edge, ca=clients.root.certificate_text),
    )


def table_lines(lab: Lab, clients: Authority) -> list[Line]:
    client, authority = lab.client, lab.certificates.root.certificate_text

    def peer(seen: dict) -> str:
        return f"{seen['name']}: {seen['peer']}"

    def tcp() -> str:
        traffic.echo_once(client, VPS, 7000, 1 << 20)
        return peer(traffic.whoami(client, VPS, 7000))

    def udp(port: int, *sizes: int) -> Callable[[], str]:
        def see() -> str:
            with traffic.Datagrams(client, VPS, port) as session:
                for size in sizes:
                    session.echo(size)
                return peer(session.whoami())
        return see

    def proxied(port: int, version: int) -> Callable[[], str]:
        def see() -> str:
            seen = traffic.whoami(client, VPS, port)
            if seen["proxy"]["address"] != CLIENT or seen["proxy"]["version"] != version:
                raise traffic.NotIntact(f"PROXY header says {seen['proxy']}")
            return f"{seen['name']}: {seen['proxy']['address']} by v{version}"
        return see

    def secured(port: int, name: str, *, backend_tls: bool, certificate=None) -> Callable[[], str]:
        def see() -> str:
            seen = traffic.tls(client, VPS, port, name, authority, certificate=certificate).seen
            if seen["tls"] != backend_tls:
                raise traffic.NotIntact(f"the backend saw TLS: {seen['tls']}")
            return f"{seen['name']}: {'TLS, its own certificate' if backend_tls else 'plain, from the edge'}"
        return see

    def refused() -> str:
        try:
            traffic.tls(client, VPS, 9443, EDGE, authority)
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            return "nothing: refused at the edge"
        raise traffic.NotIntact("a client without certificate was let in")

    known = clients.issue("known-client")
    return [
        Line("tcp", "TCP", 7000, "1 MiB each way", tcp),
        Line("udp", "UDP", 7000, "1 and 1400 bytes", udp(7000, 1, 1400)),
        Line("udp-large", "UDP, 9000", 7001, "9000 bytes", udp(7001, 9000)),
        Line("proxy-v1", "PROXY v1", 7010, f"from {CLIENT}", proxied(7010, 1)),
        Line("proxy-v2", "PROXY v2", 7011, f"from {CLIENT}", proxied(7011, 2)),
        Line("passthrough-one", "passthrough", 8443, "SNI one.example.test", secured(8443, "one.example.test", backend_tls=True)),
        Line("passthrough-two", "passthrough", 8443, "SNI two.example.test", secured(8443, "two.example.test", backend_tls=True)),
        Line("offload", "offload", 443, f"TLS to {EDGE}", secured(443, EDGE, backend_tls=False)),
        Line("mutual", "mutual", 9443, "a known client's cert", secured(9443, EDGE, backend_tls=False, certificate=known)),
        Line("mutual", "mutual", 9443, "no certificate", refused),
    ]


def latency(line: Line) -> str:
    """The time of the deed itself, connection and all, in milliseconds: the best of three."""
    best = float("inf")
    for _ in range(3):
        begin = time.monotonic()
        line.see()
        best = min(best, time.monotonic() - begin)
    return f"{best * 1000:.1f} ms"


def print_table(lines: list[Line]) -> int:
    """Prints a row per line and returns how many failed."""
    form = "{:16} {:12} {:>5}  {:22} {:38} {:>10}"
    print("\n" + form.format("BINDING", "MODE", "PORT", "SENT", "THE BACKEND SAW", "LATENCY"))
    failed = 0
    for line in lines:
        try:
            seen = traffic.eventually(line.see, within=5)
            print(form.format(line.binding, line.mode, line.port, line.sent, seen, latency(line)), flush=True)
        except (OSError, AssertionError, ValueError) as error:
            failed += 1
            print(form.format(line.binding, line.mode, line.port, line.sent, f"FAILED: {error}", "-"), flush=True)
    print()
    return failed


def main() -> int:
    say("a lab: client, internet, VPS, a home behind NAT")
    with Lab("demo").up(attached=True) as lab:
        say(f"the VPS is up at {VPS}: Debian with systemd and sshd, nothing of ours on it")
        clients = lab.another_authority("clients")
        standalone = Standalone(lab, name="demo")
        write_manifests(standalone, clients)
        say(f"manifests: {', '.join(sorted(path.name for path in standalone.manifests.glob('*.yaml')))}")
        standalone.start(log_level="info")
        say("tidegate standalone started; it enrolls the VPS by SSH: agent, WireGuard, Envoy")
        try:
            standalone.wait("EdgeNode", "edge", "Enrolled", within=180)
            say("enrolled")
            standalone.wait("EdgeNode", "edge", within=120)
            say("the tunnel is up, dialed from home")
            standalone.wait("PortBinding", "demo", within=60)
            say("every binding is Ready")
        except NotSeen as error:
            print(error, file=sys.stderr)
            return 1
        failed = print_table(table_lines(lab, clients))
        standalone.stop()
        say("leaving: the lab goes down")
    say("done" if not failed else f"{failed} lines failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
