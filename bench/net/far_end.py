"""The public end of localtunnel's protocol (its server is not on npm): python far_end.py WEB UP DOOR."""

import asyncio
import contextlib
import json
import sys


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(host: str, web: str, up: str, door: str) -> None:
    """WEB tells a client where UP is; whoever comes to DOOR is given one of its waiting connections."""
    waiting: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps({"id": "x", "ip": host, "port": int(up), "url": "http://x", "max_conn_count": 4})
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    async def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await waiting.put((reader, writer))

    async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await waiting.get()
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    servers = [
        await asyncio.start_server(tell, host, int(web)),
        await asyncio.start_server(came, host, int(up)),
        await asyncio.start_server(use, "127.0.0.1", int(door)),
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
