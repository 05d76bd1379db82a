"""What strangers on the internet do to the VPS."""

from __future__ import annotations

import json
import random
import resource
import selectors
import socket
import struct
import time
from collections import Counter

from lab.network import VPS
from product import traffic
from product.traffic import eventually
from registry import OUTSIDE, Seen, fault
from scenes import DATAGRAMS, OTHER, SECURE, TUNNEL, WEB, ThreeUplinks

_OTHERS = "the other bindings answer: no request fails, none takes longer than 3 s"


def more_files() -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def begin_connecting(scene: ThreeUplinks, ports: list[int]) -> list[socket.socket]:
    """A connection to each of these ports that is on its way."""
    opened = []
    with scene.client.entered():
        for port in ports:
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex((VPS, port))
            opened.append(one)
    return opened


def open_ports(scene: ThreeUplinks) -> tuple[set[int], set[int]]:
    """The TCP ports that accept, and those that say nothing, of all 65,535."""
    accepting: set[int] = set()
    silent: set[int] = set()
    for first in range(1, 65536, 1024):
        ports = list(range(first, min(first + 1024, 65536)))
        with selectors.DefaultSelector() as selector:
            for port, one in zip(ports, begin_connecting(scene, ports)):
                selector.register(one, selectors.EVENT_WRITE, port)
            deadline = time.monotonic() + 3
            while selector.get_map() and time.monotonic() < deadline:
                for key, _ in selector.select(0.5):
                    assert isinstance(key.fileobj, socket.socket)
                    if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                        accepting.add(key.data)
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
            for key in list(selector.get_map().values()):
                silent.add(key.data)
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.close()
    return accepting, silent


@fault("port scan", OUTSIDE, injected="a connection to each of 65,535 TCP ports from the internet; the UDP sockets of the VPS listed",
       expected="ssh, the declared ports, the tunnel, and nothing else", stage="three")
def port_scan(scene: ThreeUplinks) -> Seen:
    accepting, silent = open_ports(scene)
    wanted = {22, WEB, OTHER, SECURE}
    assert accepting == wanted and not silent, f"open: {sorted(accepting)}, silent: {sorted(silent)[:10]}"
    # ICMP answers are limited to one a second, so UDP is looked at from inside.
    sockets = scene.machine.namespace.run(["ss", "-Hlun"]).splitlines()
    bound = {int(words[3].rsplit(":", 1)[1]) for words in (line.split() for line in sockets)
             if not words[3].startswith(("127.", "[::1]", "10.200."))}
    assert bound == {DATAGRAMS, TUNNEL}, f"UDP: {sorted(bound)}"
    return Seen(f"TCP {', '.join(str(port) for port in sorted(accepting))}; UDP {DATAGRAMS}, {TUNNEL}")


class Wiretap:
    """Sees the frames of a device. `with Wiretap(host, device) as tap:`"""

    def __init__(self, host, device: str):
        with host.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
            self.socket.bind((device, 0x0800))
        self.socket.setblocking(False)

    def __enter__(self) -> "Wiretap":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def datagrams(self) -> list[tuple[str, int, int, bytes]]:
        """What came since the last time: source address, source port, destination port, payload of each UDP datagram."""
        found = []
        while True:
            try:
                packet = self.socket.recv(65536)
            except BlockingIOError:
                return found
            if packet[9] == 17:
                header = (packet[0] & 15) * 4
                source, destination = struct.unpack("!HH", packet[header:header + 4])
                found.append((socket.inet_ntoa(packet[12:16]), source, destination, packet[header + 8:]))


@fault("malformed and replayed WireGuard packets", OUTSIDE,
       injected="every packet of the tunnel for 15 s, a fresh handshake among them, sent again from elsewhere; 2,000 malformed ones",
       expected="not one answer; traffic goes on", stage="three")
def replayed(scene: ThreeUplinks) -> Seen:
    with scene.load() as load, Wiretap(scene.lab.internet, "h0") as tunnel, Wiretap(scene.client, "eth0") as answers:
        scene.revive()
        recorded: list[bytes] = []
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            recorded += [payload for _, _, port, payload in tunnel.datagrams() if port == TUNNEL]
            time.sleep(0.05)
        initiations = sum(1 for one in recorded if one[:1] == b"\x01")
        assert initiations and len(recorded) > 100, f"{len(recorded)} packets, {initiations} handshakes recorded"
        sender = scene.client.socket(socket.AF_INET, socket.SOCK_DGRAM)
        chance = random.Random(1)
        malformed = [bytes([kind, 0, 0, 0]) + chance.randbytes(size) for kind in range(6) for size in (0, 28, 60, 88, 144, 1400)] * 56
        malformed += [one[:chance.randrange(len(one))] for one in recorded[:200]] + [b"", b"\x01"]
        for one in recorded[-3000:] + malformed:
            sender.sendto(one, (VPS, TUNNEL))
            time.sleep(0.0003)
        time.sleep(2)
        heard = [one for one in answers.datagrams() if one[0] == VPS and one[1] == TUNNEL]
        sender.close()
    assert heard == [], f"{len(heard)} answers, the first of {len(heard[0][3])} bytes, type {heard[0][3][:1]!r}"
    late = [one for one in load.failures]
    assert late == [], late[:1]
    return Seen(f"{min(len(recorded), 3000)} replayed ({initiations} handshakes among what was recorded), {len(malformed)} malformed, no answer",
                None, 0, load.requests)


def others_answer(scene: ThreeUplinks, attack, text: str) -> Seen:
    """A load on one binding while another is attacked."""
    with scene.load() as load, scene.crowd(count=50) as crowd:
        time.sleep(1)
        began = time.monotonic()
        said = attack()
        broken = crowd.broken()
        slow = [one for one in load.troubles if one.began > began and one.took > 3]
    assert broken == [], f"{len(broken)} held connections of the other binding broke: {broken[0]}"
    assert not load.failures, f"{len(load.failures)} of {load.requests} requests failed: {load.failures[0]}"
    assert not slow, f"{len(slow)} of {load.requests} requests took longer than 3 s, up to {max(one.took for one in slow):.1f} s"
    return Seen(text.format(said), None, 0, load.requests)


@fault("slowloris", OUTSIDE, injected="1,000 TLS connections that send their ClientHello a byte a second, for 20 s", expected=_OTHERS + "; the slow ones are closed after 15 s", stage="three")
def slowloris(scene: ThreeUplinks) -> Seen:
    def attack() -> str:
        more_files()
        opened = begin_connecting(scene, [SECURE] * 1000)
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
        alive = set(opened)
        for number in range(20):
            time.sleep(1)
            for one in list(alive):
                try:
                    one.send(hello[number:number + 1])
                except OSError:
                    alive.discard(one)
        for one in opened:
            one.close()
        assert not alive, f"{len(alive)} of 1,000 were still open after 20 s"
        return "all were closed"
    return others_answer(scene, attack, "{} by the end")


@fault("10,000 idle connections", OUTSIDE, injected="10,000 connections to one binding that say nothing for 20 s", expected=_OTHERS, stage="three")
def idle_connections(scene: ThreeUplinks) -> Seen:
    def attack() -> str:
        more_files()
        opened: list[socket.socket] = []
        for _ in range(20):
            opened += begin_connecting(scene, [OTHER] * 500)
            time.sleep(0.3)
        time.sleep(20)
        carried = sum(1 for one in opened if is_open(one))
        for one in opened:
            one.close()
        # A third of the connections that the VPS's files allow: other ports have room.
        assert carried > 1500, f"only {carried} were carried"
        return f"{carried:,}"
    return others_answer(scene, attack, "{} were carried, the lab's VPS lets a service open 20,000 files; the others were closed at once")


def is_open(one: socket.socket) -> bool:
    """Connected, and not closed by the other side."""
    try:
        one.getpeername()
        return bool(one.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False


def tunnel_drops(scene: ThreeUplinks) -> Counter[str]:
    """The packets that found no room at either end of the tunnel, by host: in wireguard-go's sockets and in its link's queue."""
    drops: Counter[str] = Counter()
    for host in (scene.machine.namespace, *scene.hosts):
        names, values = (line.split() for line in host.run(["cat", "/proc/self/net/snmp"]).splitlines() if line.startswith("Udp:"))
        drops[host.name] += int(values[names.index("RcvbufErrors")])
        for link in json.loads(host.run(["ip", "-json", "-statistics", "link", "show", "type", "tun"])):
            drops[host.name] += link["stats64"]["tx"]["dropped"]
    return drops


@fault("a burst of connections", OUTSIDE,
       injected="2,000 connections to one binding that ask, and then close all at once, five times; 100 datagrams to a UDP binding in the 0.2 s after it",
       expected=_OTHERS + "; no datagram is lost, and no packet dropped at either end of the tunnel", stage="three")
def burst(scene: ThreeUplinks) -> Seen:
    def attack() -> str:
        before = tunnel_drops(scene)
        with traffic.Datagrams(scene.client, VPS, DATAGRAMS) as session:
            lost: list[int] = []
            for _ in range(5):
                held = traffic.hold(scene.client, VPS, OTHER, 2000)
                traffic.finish(held, lambda: lost.append(session.lost(100, pause=0.002)))
        drops = tunnel_drops(scene) - before
        assert not any(lost), f"{lost} of 100 datagrams each time were lost; dropped: {dict(drops)}"
        assert not drops, f"dropped: {dict(drops)}"
        return f"{100 * len(lost)}"
    return others_answer(scene, attack, "all {} datagrams came back, nothing was dropped")


@fault("SYN flood", OUTSIDE, injected="SYNs from made-up addresses to one binding for 10 s, as fast as the lab sends", expected=_OTHERS, stage="three")
def syn_flood(scene: ThreeUplinks) -> Seen:
    def attack() -> str:
        with scene.client.entered():
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        chance = random.Random(2)
        sent, deadline = 0, time.monotonic() + 10
        while time.monotonic() < deadline:
            for _ in range(50):
                source = f"198.51.100.{chance.randrange(20, 250)}"
                raw.sendto(syn(source, VPS, chance.randrange(1024, 65535), OTHER, chance.randrange(1 << 32)), (VPS, 0))
                sent += 1
            time.sleep(0.002)
        raw.close()
        # Real clients get through to the flooded binding too, by SYN cookies.
        assert eventually(lambda: scene.answers(OTHER, timeout=3), within=10)["name"] == "other"
        return f"{sent:,}"
    return others_answer(scene, attack, "{} SYNs; the flooded binding answers after it")


def syn(source: str, target: str, port: int, to: int, sequence: int) -> bytes:
    """An IPv4 packet with a TCP SYN; the kernel fills in the IP checksum."""
    tcp = struct.pack("!HHIIBBHHH", port, to, sequence, 0, 5 << 4, 2, 64240, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, 6, len(tcp))
    words = sum(struct.unpack(f"!{(len(pseudo) + len(tcp)) // 2}H", pseudo + tcp))
    words = (words & 0xFFFF) + (words >> 16)
    words += words >> 16
    tcp = tcp[:16] + struct.pack("!H", ~words & 0xFFFF) + tcp[18:]
    return struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0x4000, 64, 6, 0) + socket.inet_aton(source) + socket.inet_aton(target) + tcp
