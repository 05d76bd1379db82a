"""What stands behind the tunnel: `backends.py SETTINGS`, run in the uplinks' namespace.

SETTINGS is a JSON file: {"tcp": [port], "udp": [port], "tls": {port: [certificate, key]}, "uplinks": {address: control file}}.
A TCP or TLS connection gets back what it sends; `who` gets the backend's address and the peer's port. An uplink's `/ready`
answers with the status that its control file holds, and never answers when it holds `silent`.
"""
import asyncio
import json
import ssl
import sys
from pathlib import Path

READY_PORT = 40500


async def echo(reader, writer):
    try:
        while data := await reader.read(65536):
            if data == b"who":
                data = f"{writer.get_extra_info('sockname')[0]} {writer.get_extra_info('peername')[1]}".encode()
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


class DatagramEcho(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        self.transport.sendto(str(peer[1]).encode() if data == b"who" else data, peer)


def readiness(control, log):
    async def serve(reader, writer):
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                with log.open("ab") as file:
                    file.write(request.split(b"\r\n")[0] + b"\n")
                status = control.read_text().strip()
                if status == "silent":
                    await asyncio.sleep(3600)
                writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    return serve


async def main(settings):
    loop = asyncio.get_running_loop()
    servers = [await asyncio.start_server(echo, "0.0.0.0", port, backlog=4096) for port in settings["tcp"]]
    for port in settings["udp"]:
        # A socket for each address, so that the answer comes from the address that was asked.
        for address in settings["uplinks"]:
            await loop.create_datagram_endpoint(DatagramEcho, local_addr=(address, port))
    for port, (certificate, key) in settings["tls"].items():
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        servers.append(await asyncio.start_server(echo, "0.0.0.0", int(port), ssl=context))
    for address, control in settings["uplinks"].items():
        serve = readiness(Path(control), Path(control + ".log"))
        servers.append(await asyncio.start_server(serve, address, READY_PORT, backlog=4096))
    print("up", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
