"""A peer of another make for WebSockets: Python's websockets, between a TCP port and a WebSocket.

    websocket.py client URL      takes TCP connections, and leads each to a WebSocket at URL
    websocket.py server PORT     takes WebSockets, and leads each to 127.0.0.1:PORT
    websocket.py unix PATH       takes TCP connections, and leads each to a unix socket, as sshd does
    websocket.py tls PORT FILE   ends TLS as a web server in front does, and leads on to 127.0.0.1:PORT; its certificate goes to FILE

Prints its port. Sends in messages of many frames, and pings all the time.
"""

import asyncio
import datetime
import ipaddress
import ssl
import sys
from pathlib import Path

import websockets
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PINGS = {"ping_interval": 0.05, "ping_timeout": 5, "max_size": 1 << 20, "compression": None}


async def frames(data):
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]
    yield b""


async def join(socket, reader, writer):
    async def out():
        while data := await reader.read(20_000):
            await socket.send(frames(data))
        await socket.close()

    async def back():
        async for message in socket:
            writer.write(message)
            await writer.drain()
        writer.close()

    await asyncio.gather(out(), back(), return_exceptions=True)


def certificate(file):
    """A self-signed one for 127.0.0.1, and its key behind it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "front")])
    now = datetime.datetime.utcnow()
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    made = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    Path(file).write_bytes(made)
    Path(file + ".key").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, file + ".key")
    return context


async def pipe(reader, writer):
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def main():
    if sys.argv[1] == "unix":

        async def take(reader, writer):
            inner_reader, inner_writer = await asyncio.open_unix_connection(sys.argv[2])
            await asyncio.gather(pipe(reader, inner_writer), pipe(inner_reader, writer), return_exceptions=True)

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
    elif sys.argv[1] == "tls":

        async def take(reader, writer):
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
            await asyncio.gather(pipe(reader, inner_writer), pipe(inner_reader, writer), return_exceptions=True)

        server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=certificate(sys.argv[3]))
        port = server.sockets[0].getsockname()[1]
    elif sys.argv[1] == "client":

        async def take(reader, writer):
            async with websockets.connect(sys.argv[2], **PINGS) as socket:
                await join(socket, reader, writer)

        server = await asyncio.start_server(take, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
    else:

        async def take(socket, *_):
            await join(socket, *await asyncio.open_connection("127.0.0.1", int(sys.argv[2])))

        server = await websockets.serve(take, "127.0.0.1", 0, **PINGS)
        port = next(iter(server.sockets)).getsockname()[1]
    print(port, flush=True)
    await asyncio.Future()


asyncio.run(main())
