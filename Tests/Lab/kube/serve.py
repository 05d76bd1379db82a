"""The process of the double: `python3 -m kube.serve --folder FOLDER ...`; kube.double starts it."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import signal
import ssl
import sys
from pathlib import Path
from typing import Optional

from .app import App
from .control import Control
from .http import Server
from .users import ADMIN, ANONYMOUS


def tls(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    context.load_verify_locations(folder / "ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


async def main(options: argparse.Namespace) -> None:
    folder: Path = options.folder
    loop = asyncio.get_running_loop()
    app = App(options.state, loop, ANONYMOUS if options.anonymous else ADMIN)
    server = Server(app.handle)
    listeners: list[tuple[str, int, Optional[ssl.SSLContext]]] = []
    ports = {}
    for name, port, context in (("https", options.port, tls(folder)), ("http", options.plain_port, None)):
        if port >= 0:
            ports[name] = await server.listen(options.host, port, context)
            listeners.append((options.host, ports[name], context))
    stopped = asyncio.Event()
    control = Control(app, server, listeners, stopped)
    await control.listen(folder / "control.sock")
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    # Objects live long here: what is there already is not worth looking through again and again.
    gc.collect()
    gc.freeze()
    scratch = folder / "ports.new"
    scratch.write_text(json.dumps(ports))
    scratch.replace(folder / "ports")
    follower = asyncio.ensure_future(_with_parent(options.parent, stopped))
    await stopped.wait()
    follower.cancel()
    await server.close_listeners()
    server.hang_up()
    app.save()


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kube.serve", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="certificates are read, ports and control.sock left here")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="TLS; 0 takes a free one, -1 none")
    parser.add_argument("--plain-port", type=int, default=-1, help="without TLS; who sends no credentials there is the administrator")
    parser.add_argument("--anonymous", action="store_true", help="who sends no credentials without TLS is system:anonymous")
    parser.add_argument("--state", type=Path, default=None, help="objects are left in this file at the end, and read from it")
    parser.add_argument("--parent", type=int, default=0, help="ends when this process is gone")
    return parser.parse_args(arguments)


def run() -> None:
    options = parse(sys.argv[1:])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard > 0 else soft, hard))
    asyncio.run(main(options))


async def _with_parent(parent: int, stopped: asyncio.Event) -> None:
    """Not by PR_SET_PDEATHSIG: that is about the thread that started us."""
    while parent and os.getppid() == parent:
        await asyncio.sleep(1)
    if parent:
        stopped.set()


if __name__ == "__main__":
    run()
