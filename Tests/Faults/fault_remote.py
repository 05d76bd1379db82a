"""What becomes of a remote service (docs/remote.md): gateway, remote, the Ingress between and the network."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Callable, Iterator

from lab.commands import run
from lab.network import BACKEND, UPLINKS
from load import OpenLoad
from registry import REMOTE, Seen, fault
from scenes import EndToEndTests
from test_gateway import Gateway
from test_mesh import ANY, ECHO, SERVICE, Mesh
from test_ssh_tunnel import SSHTunnel, conversation

_SINCE = 3.0  # seconds after the end of a fault from which on nothing may be lost
_MESH_SINCE = 5.0
_TUNNEL_SINCE = 10.0
_LOCAL = 4100


def kill_gateway(rig: Gateway | Mesh) -> None:
    """It is started again at once."""
    kind = type(rig)
    kind.gateway.kill()
    kind.gateway.wait()
    kind.gateway = rig.start_gateway()


def kill_remote(rig: Gateway | Mesh) -> float:
    """It is started again 5 s later."""
    rig.process.kill()  # type: ignore[union-attr]
    rig.process.wait()  # type: ignore[union-attr]
    time.sleep(5)
    began = time.monotonic()
    rig.join()
    return began


def cut(rig: Gateway | Mesh | SSHTunnel, seconds: float) -> float:
    """The network of the lab's home, where the far end is, for so long."""
    for state in ("down", "up"):
        rig.lab.nat.run(["ip", "link", "set", "home", state])
        if state == "down":
            time.sleep(seconds)
    return time.monotonic()


class Talks(OpenLoad):
    """Visitors of the service."""

    def _ask(self) -> dict:
        with self.client.connect(self.address, self.port, timeout=self.timeout) as connection:
            conversation(connection, 1000)
        return {"peer": "gateway"}


@contextmanager
def served() -> Iterator[Gateway]:
    """A gateway whose remote is there, through nginx."""
    Gateway.setUpClass()
    rig = Gateway("test_our_client")
    try:
        rig.setUp()
        rig.process = rig.join()  # type: ignore[attr-defined]
        rig.connected("Tidegate")
        yield rig
    finally:
        rig.doCleanups()
        Gateway.tearDownClass()


def through(injure: Callable[[Gateway], float | None], text: str) -> Seen:
    """Requests all the while. `injure` returns when the fault was over; nil for when it returned."""
    with served() as rig, Talks(rig.visitor, BACKEND, 80) as load:
        time.sleep(1)
        over = injure(rig) or time.monotonic()
        rig.connected("Tidegate")
        time.sleep(_SINCE + 4)
        late = load.lost(since=over + _SINCE)
        assert not late, f"lost later: {late[0].failure}"
        return Seen(text, load.trouble_ended(over), len(load.lost()), load.requests)


@fault("gateway killed", REMOTE, injected="SIGKILL to the gateway, which is started again at once", expected="nothing is lost that begins 3 s later",
       stage="tests", quick=True)
def gateway_killed(_: EndToEndTests) -> Seen:
    return through(kill_gateway, "the remote dialed anew")


@fault("remote killed", REMOTE, injected="SIGKILL to the remote, which is started again 5 s later", expected="refused meanwhile, and nothing lost 3 s later",
       stage="tests")
def remote_killed(_: EndToEndTests) -> Seen:
    return through(kill_remote, "refused while it was gone, served when it was back")


@fault("Ingress restarted", REMOTE, injected="SIGKILL to nginx, which is started again at once", expected="nothing is lost that begins 3 s later", stage="tests")
def ingress_restarted(_: EndToEndTests) -> Seen:
    def injure(rig: Gateway) -> None:
        Gateway.nginx.kill()
        run(["sh", "-c", f"kill -9 $(ip netns pids {rig.ingress.name}) 2>/dev/null; true"])
        Gateway.nginx.wait()
        rig.start_nginx()
    return through(injure, "the remote dialed anew")


@fault("remote's network cut", REMOTE, injected="the remote's network is down for 20 s", expected="nothing is lost that begins 3 s after its end", stage="tests")
def network_cut(_: EndToEndTests) -> Seen:
    return through(lambda rig: cut(rig, 20), "another link was dialed when the network was back")


# MARK: a mesh


@contextmanager
def meshed() -> Iterator[Mesh]:
    Mesh.setUpClass()
    rig = Mesh("test_both_ways_with_root")
    try:
        rig.setUp()
        rig.process = rig.join()  # type: ignore[attr-defined]
        rig.up()
        yield rig
    finally:
        rig.doCleanups()
        Mesh.tearDownClass()


def through_mesh(injure: Callable[[Mesh], float | None], text: str) -> Seen:
    """Both ways all the while: to a port of the remote, and from the remote to a Service."""
    with meshed() as rig, Talks(rig.visitor, UPLINKS[0], ANY) as load, Talks(rig.remote, SERVICE, ECHO) as back:
        time.sleep(1)
        over = injure(rig) or time.monotonic()
        rig.up()
        time.sleep(_MESH_SINCE + 4)
        late = load.lost(since=over + _MESH_SINCE) + back.lost(since=over + _MESH_SINCE)
        assert not late, f"lost later: {late[0].failure}"
        return Seen(text, max(load.trouble_ended(over), back.trouble_ended(over)), len(load.lost() + back.lost()), load.requests + back.requests)


@fault("gateway killed, with a mesh", REMOTE, injected="SIGKILL to a gateway with a mesh, which is started again at once",
       expected="nothing is lost that begins 5 s later, either way", stage="tests")
def mesh_gateway_killed(_: EndToEndTests) -> Seen:
    return through_mesh(kill_gateway, "its WireGuard stayed, and the remote dialed anew")


@fault("remote killed, with a mesh", REMOTE, injected="SIGKILL to a remote in a mesh, which is started again 5 s later",
       expected="nothing is lost that begins 5 s later, either way", stage="tests")
def mesh_remote_killed(_: EndToEndTests) -> Seen:
    return through_mesh(kill_remote, "the gateway greeted it anew")


@fault("remote's network cut, with a mesh", REMOTE, injected="the network of a remote in a mesh is down for 20 s",
       expected="nothing is lost that begins 5 s after its end, either way", stage="tests", quick=True)
def mesh_cut(_: EndToEndTests) -> Seen:
    return through_mesh(lambda rig: cut(rig, 20), "its packets went by another link when the network was back")


# MARK: the SSH tunnel


def through_tunnel(injure: Callable[[SSHTunnel], float | None], text: str) -> Seen:
    """Requests by a local port to one behind sshd."""
    SSHTunnel.setUpClass()
    rig = SSHTunnel("test_a_port_here_to_a_socket_there")
    try:
        rig.setUp()
        rig.process = rig.start(rig.argv(local=f"127.0.0.1:{_LOCAL}"))  # type: ignore[attr-defined]
        with Talks(rig.home, "127.0.0.1", _LOCAL) as load:
            time.sleep(1)
            over = injure(rig) or time.monotonic()
            time.sleep(_TUNNEL_SINCE + 4)
            late = load.lost(since=over + _TUNNEL_SINCE)
            assert not late, f"lost later: {late[0].failure}"
            return Seen(text, load.trouble_ended(over), len(load.lost()), load.requests)
    finally:
        rig.doCleanups()
        SSHTunnel.tearDownClass()


@fault("sshd restarted, SSH tunnel", REMOTE, injected="sshd and all its sessions killed, and started again 5 s later",
       expected="nothing is lost that begins 10 s later", stage="tests")
def tunnel_server_restarted(_: EndToEndTests) -> Seen:
    def injure(rig: SSHTunnel) -> float:
        rig.server.stop()
        time.sleep(5)
        rig.server.start()
        return time.monotonic()
    return through_tunnel(injure, "logged in again")


@fault("network cut, SSH tunnel", REMOTE, injected="the network of `tidegate ssh-tunnel` is down for 30 s",
       expected="nothing is lost that begins 10 s after its end", stage="tests")
def tunnel_cut(_: EndToEndTests) -> Seen:
    return through_tunnel(lambda rig: cut(rig, 30), "its keepalive had found it out, and it logged in again")
