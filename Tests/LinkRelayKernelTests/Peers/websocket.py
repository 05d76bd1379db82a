"""A peer of another make for WebSockets: Python's websockets, between a TCP port and a WebSocket.

    websocket.py client URL      takes TCP connections, and leads each to a WebSocket at URL
    websocket.py server PORT     takes WebSockets, and leads each to 127.0.0.1:PORT

Prints its port. Sends in messages of many frames, and pings all the time.
"""

import asyncio
import sys

import websockets

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


async def main():
    if sys.argv[1] == "client":

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
