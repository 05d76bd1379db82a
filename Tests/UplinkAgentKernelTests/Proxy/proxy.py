"""An HTTP proxy for CONNECT that wants a password: proxy.py PORT USER:PASSWORD HOST PORT. Whatever it is asked for, it leads to HOST:PORT."""

import asyncio
import base64
import sys

port, credentials, host, target = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
wanted = "Basic " + base64.b64encode(credentials.encode()).decode()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    if not lines[0].startswith("CONNECT ") or fields.get("Proxy-Authorization") != wanted:
        writer.write(b'HTTP/1.1 407 no\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n')
        writer.close()
        return
    far_reader, far_writer = await asyncio.open_connection(host, target)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


asyncio.run(main())
