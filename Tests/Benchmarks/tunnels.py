"""What suites of tunnels share: a transfer, small requests beside it, their CPU time, and `ssh -R` as the peer of the same run."""

import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
BULK, SMALL, IDLE = 15201, 15202, 15203
SECONDS = int(os.environ.get("LINK_SECONDS", "5"))


def row(what: str, measured: float, unit: str, limit: float | None = None) -> None:
    print(json.dumps({"what": what, "measured": round(measured, 4), "unit": unit, "limit": limit}), flush=True)


def cpu(processes: list[int]) -> float:
    fields = [Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split() for process in processes]
    return sum(int(one[11]) + int(one[12]) for one in fields) / TICKS


def resident(processes: list[int]) -> int:
    """KiB."""
    return sum(
        int(line.split()[1])
        for process in processes
        for line in Path(f"/proc/{process}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )


def until_listened(address: tuple[str, int]) -> None:
    for _ in range(400):
        try:
            socket.create_connection(address, 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{address} does not listen")


def serve(port: int, handle) -> None:
    server = socket.create_server(("127.0.0.1", port), backlog=4096)

    def accept() -> None:
        while True:
            handle(server.accept()[0])

    threading.Thread(target=accept, daemon=True).start()


def echo(connection: socket.socket) -> None:
    def run() -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while data := connection.recv(4096):
                connection.sendall(data)
        except OSError:
            pass

    threading.Thread(target=run, daemon=True).start()


def iperf(address: str, streams: int, down: bool, seconds: int = SECONDS, offset: int = 0) -> tuple[float, float]:
    """Bytes that arrived, and bits a second."""
    command = ["iperf3", "-c", address, "-p", str(BULK + offset), "-P", str(streams), "-t", str(seconds), "-J"] + (["-R"] if down else [])
    # The server takes one client at a time, and may not have noticed that the last one went.
    for _ in range(20):
        end = json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)["end"]
        if "sum_received" in end:
            return end["sum_received"]["bytes"], end["sum_received"]["bits_per_second"]
        time.sleep(0.3)
    raise SystemExit(f"iperf3 does not reach {address}")


def latency(address: str, seconds: float, offset: int = 0) -> tuple[float, float]:
    """Median and 99th percentile of requests of 100 bytes, in ms."""
    connection = socket.create_connection((address, SMALL + offset))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.perf_counter()
        connection.sendall(b"x" * 100)
        missing = 100
        while missing:
            missing -= len(connection.recv(missing))
        times.append((time.perf_counter() - begin) * 1e3)
        time.sleep(0.002)
    times.sort()
    return times[len(times) // 2], times[int(len(times) * 0.99)]


class Tunnel:
    """`offset` is added to the ports of its near end."""

    def __init__(self, name: str, address: str, processes: list[int], offset: int = 0):
        self.name, self.address, self.processes, self.offset = name, address, processes, offset
        self.speed: dict[tuple[int, bool], float] = {}
        self.cost: dict[tuple[int, bool], float] = {}

    def measure(self) -> None:
        for down in (False, True):
            for streams in (1, 8):
                before = cpu(self.processes)
                count, self.speed[streams, down] = iperf(self.address, streams, down, offset=self.offset)
                self.cost[streams, down] = (cpu(self.processes) - before) / max(count / 1e9, 1e-9)

    def beside(self, down: bool) -> tuple[float, float]:
        command = ["iperf3", "-c", self.address, "-p", str(BULK + self.offset), "-t", str(SECONDS + 2)] + (["-R"] if down else [])
        # The server takes one client at a time, as above.
        for _ in range(20):
            transfer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(1)
            if transfer.poll() is None:
                break
        found = latency(self.address, SECONDS, self.offset)
        if transfer.wait() != 0:
            raise SystemExit(f"no transfer ran beside the requests at {self.address}")
        return found


def ssh(address: str, folder: Path, started: list) -> Tunnel:
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    settings = [
        f"HostKey={folder}/host", f"AuthorizedKeysFile={folder}/user.pub", "StrictModes=no", "UsePAM=no", "PidFile=none",
        "GatewayPorts=clientspecified", "ListenAddress=127.0.0.1:17022",
    ]  # fmt: skip
    options = [part for setting in settings for part in ("-o", setting)]
    with (folder / "sshd").open("w") as log:
        server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", *options], stderr=log)
    started.append(server)
    until_listened(("127.0.0.1", 17022))
    forwards = [part for port in (BULK, SMALL) for part in ("-R", f"{address}:{port}:127.0.0.1:{port}")]
    unknown = ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={folder}/known"]
    with (folder / "ssh").open("w") as log:
        client = subprocess.Popen(
            ["ssh", "-N", "-p", "17022", "-i", folder / "user", *unknown, *forwards, "root@127.0.0.1"], stderr=log
        )
    started.append(client)
    until_listened((address, SMALL))
    return Tunnel("ssh -R", address, [client.pid, *children(server.pid)])


def children(process: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True, check=False).stdout.split()
    return [int(one) for one in found] + [more for one in found for more in children(int(one))]
