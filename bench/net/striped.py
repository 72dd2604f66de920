"""Tunnels whose bytes go by several outer connections. Run as a file, by name; `_end`: the outside's.

python striped.py split HOST DOWN UP INNER          split_end DOWN UP DOOR
python striped.py stripes HOST INNER PORT...        stripes_end DOOR PORT...
"""

import asyncio
import contextlib
import struct
import sys
from collections.abc import Callable, Coroutine
from typing import Any

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _open(host: str, port: str) -> Ends:
    """A connection, as soon as somebody listens."""
    while True:
        with contextlib.suppress(OSError):
            return await asyncio.open_connection(host, int(port))
        await asyncio.sleep(0.3)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


async def _serve(host: str, port: str, queue: asyncio.Queue[Ends]) -> asyncio.Server:
    async def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await queue.put((reader, writer))

    return await asyncio.start_server(came, host, int(port))


async def split(host: str, down: str, up: str, inner: str) -> None:
    """What comes in by one connection, what goes out by another."""
    reader, _down = await _open(host, down)
    _up, writer = await _open(host, up)
    near_reader, near_writer = await _open("127.0.0.1", inner)
    await asyncio.gather(_pump(reader, near_writer), _pump(near_reader, writer))


async def split_end(down: str, up: str, door: str) -> None:
    """Gives its user the two as one."""
    ends = [asyncio.Queue[Ends]() for _ in range(3)]
    places = (("127.0.0.1", door), ("0.0.0.0", down), ("0.0.0.0", up))
    servers = [await _serve(*place, queue) for place, queue in zip(places, ends, strict=True)]
    (user, user_writer), (_, to_job), (from_job, _) = [await queue.get() for queue in ends]
    await asyncio.gather(_pump(user, to_job), _pump(from_job, user_writer), servers[0].serve_forever())


async def _lay(reader: asyncio.StreamReader, pairs: list[Ends]) -> None:
    k = 0
    while data := await reader.read(1200):
        pairs[k % len(pairs)][1].write(struct.pack("!H", len(data)) + data)
        k += 1


async def _gather(pairs: list[Ends], writer: asyncio.StreamWriter) -> None:
    k = 0
    while True:
        reader = pairs[k % len(pairs)][0]
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        writer.write(await reader.readexactly(size))
        k += 1


async def stripes(host: str, inner: str, *ports: str) -> None:
    """Bytes laid on several connections in turn."""
    pairs = [await _open(host, port) for port in ports]
    near_reader, near_writer = await _open("127.0.0.1", inner)
    await asyncio.gather(_lay(near_reader, pairs), _gather(pairs, near_writer))


async def stripes_end(door: str, *ports: str) -> None:
    """Gives its user all of them as one."""
    ends = [asyncio.Queue[Ends]() for _ in (door, *ports)]
    places = [("127.0.0.1", door), *(("0.0.0.0", port) for port in ports)]
    servers = [await _serve(*place, queue) for place, queue in zip(places, ends, strict=True)]
    (user, user_writer), *pairs = [await queue.get() for queue in ends]
    await asyncio.gather(_lay(user, pairs), _gather(pairs, user_writer), servers[0].serve_forever())


PROGRAMS: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    "split": split, "split_end": split_end, "stripes": stripes, "stripes_end": stripes_end,
}  # fmt: skip

if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, OSError, asyncio.IncompleteReadError):
        asyncio.run(PROGRAMS[sys.argv[1]](*sys.argv[2:]))
