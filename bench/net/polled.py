"""A tunnel that polls: each exchange on the outer side is a request of the job's end and its response. Run as
a file.

python polled.py job HOST PORT INNER_PORT SEED
python polled.py far PORT DOOR
"""

import asyncio
import contextlib
import random
import sys

_HEAD = b"POST /poll HTTP/1.1\r\nHost: cdn.example\r\nUser-Agent: Mozilla/5.0\r\nContent-Length: %8d\r\n\r\n"
_ANSWER = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/html\r\nContent-Length: %8d\r\n\r\n"


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return await reader.readexactly(int(head.split(b"Content-Length:")[1].split(b"\r\n")[0]))


async def job(host: str, port: str, inner: str, seed: str) -> None:
    """Asks what there is for the service here, and brings its answers with the next question."""
    rng = random.Random(seed)
    pause_s = rng.uniform(0.05, 0.4)
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, int(port))
            break
        await asyncio.sleep(0.3)
    near_reader, near_writer = await asyncio.open_connection("127.0.0.1", int(inner))
    waiting = bytearray()

    async def take() -> None:
        while data := await near_reader.read(1 << 16):
            waiting.extend(data)

    task = asyncio.create_task(take())
    while not task.done():
        data = bytes(waiting)
        waiting.clear()
        writer.write(_HEAD % len(data) + data)
        came = await _message(reader)
        if came:
            near_writer.write(came)
        for _ in range(int(100 * pause_s)):
            if waiting:
                break
            await asyncio.sleep(0.01)


async def far(port: str, door: str) -> None:
    """Gives what its user wrote to whoever polls."""
    waiting = bytearray()
    users: list[asyncio.StreamWriter] = []

    async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        users[:] = [writer]
        while data := await reader.read(1 << 16):
            waiting.extend(data)

    async def polled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                data = await _message(reader)
                if data and users:
                    users[0].write(data)
                given = bytes(waiting)
                waiting.clear()
                writer.write(_ANSWER % len(given) + given)

    servers = [
        await asyncio.start_server(use, "127.0.0.1", int(door)),
        await asyncio.start_server(polled, "0.0.0.0", int(port)),
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(job(*sys.argv[2:]) if sys.argv[1] == "job" else far(*sys.argv[2:]))
