"""Small programs that speak TCP: a service, its user, tunnels of our own, meshes. Run as a file, by name.

python talk.py service HOST PORT [LEAST MOST]   answers each request with as many bytes as it asks for, after
                                       so many seconds
python talk.py queue HOST PORT LEAST MOST   the same, thanks (few bytes) after so long, all else at once
python talk.py use HOST PORT SECONDS SEED [once]   asks it, with pauses; once: a connection for each
...

Each exchange that came to an end is one byte in the file that GUARD_USES names; when the first one began
stands beside it.
"""

import asyncio
import contextlib
import os
import random
import ssl
import struct
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

_ASK = struct.Struct("!II")  # bytes that follow, bytes wanted back
_FRAME = struct.Struct("!HI")  # stream, bytes; 0 bytes: closed
_SOON = (0.005, 0.06)  # seconds in which a queue has a task


def _begin() -> None:
    with contextlib.suppress(KeyError, OSError), Path(os.environ["GUARD_USES"] + ".began").open("x") as began:
        began.write(repr(time.monotonic()))


def _note() -> None:
    with contextlib.suppress(KeyError, OSError), Path(os.environ["GUARD_USES"]).open("ab", 0) as uses:
        uses.write(b".")


async def service(host: str, port: str, least_s: str = "0", most_s: str = "0") -> None:
    """Answers for ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                sent, wanted = _ASK.unpack(await reader.readexactly(_ASK.size))
                await reader.readexactly(sent)
                if float(most_s) > 0:
                    await asyncio.sleep(random.uniform(float(least_s), float(most_s)))
                writer.write(os.urandom(wanted))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, host, int(port))
    await server.serve_forever()


async def queue(host: str, port: str, least_s: str, most_s: str) -> None:
    """Hands out tasks at once and thanks for results late: what is asked for in few bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                sent, wanted = _ASK.unpack(await reader.readexactly(_ASK.size))
                await reader.readexactly(sent)
                late = wanted <= 200
                await asyncio.sleep(random.uniform(*((float(least_s), float(most_s)) if late else _SOON)))
                writer.write(os.urandom(wanted))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, host, int(port))
    await server.serve_forever()


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random, size: float
) -> None:
    ask, want = (int(min(2e6, rng.lognormvariate(size, 1.2))) + 1 for _ in range(2))
    _begin()
    writer.write(_ASK.pack(ask, want) + os.urandom(ask))
    await writer.drain()
    await reader.readexactly(want)
    _note()


async def use(host: str, port: str, seconds: str, seed: str, how: str = "keep") -> None:
    """Exchanges with pauses; `once`: a new connection each time; `up`, `down`: mostly one way."""
    rng = random.Random(seed)
    loop = asyncio.get_running_loop()
    until = loop.time() + float(seconds)
    size = rng.uniform(6, 9.5)
    pair = None
    while loop.time() < until:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if pair is None or how == "once":
                if pair is not None:
                    pair[1].close()
                pair = await asyncio.open_connection(host, int(port))
            await asyncio.wait_for(_exchange(*pair, rng, size), 10)
            idle_s = rng.uniform(1.5, 4) if rng.random() < 0.08 else 0.0
            await asyncio.sleep(rng.expovariate(1.5) + idle_s)
            continue
        pair = None
        await asyncio.sleep(0.3)


async def stream(host: str, port: str, seconds: str, seed: str, way: str) -> None:
    """Mostly one way, as uploads and downloads are."""
    rng = random.Random(seed)
    loop = asyncio.get_running_loop()
    until = loop.time() + float(seconds)
    while loop.time() < until:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(host, int(port))
            for _ in range(rng.randrange(1, 6)):
                big, small = rng.randrange(200_000, 2_000_000), rng.randrange(100, 800)
                ask, want = (big, small) if way == "up" else (small, big)
                writer.write(_ASK.pack(ask, want) + os.urandom(ask))
                await writer.drain()
                await reader.readexactly(want)
                _note()
                await asyncio.sleep(rng.expovariate(2))
            writer.close()
        await asyncio.sleep(rng.expovariate(1))


async def _open(host: str, port: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection, as soon as somebody listens."""
    while True:
        with contextlib.suppress(OSError):
            return await asyncio.open_connection(host, int(port))
        await asyncio.sleep(0.3)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def forward(listen: str, host: str, port: str, bind: str = "127.0.0.1") -> None:
    """A relay that accepts nearby and opens outwards."""

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await _open(host, port)
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    server = await asyncio.start_server(join, bind, int(listen))
    await server.serve_forever()


async def socks(listen: str, door: str, host: str, port: str) -> None:
    """Accepts nearby and goes on through a SOCKS5 door."""

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await _open("127.0.0.1", door)
        far_writer.write(b"\5\1\0")
        await far_reader.readexactly(2)
        name = host.encode()
        far_writer.write(b"\5\1\0\3" + bytes([len(name)]) + name + int(port).to_bytes(2, "big"))
        await far_reader.readexactly(10)
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    server = await asyncio.start_server(join, "127.0.0.1", int(listen))
    await server.serve_forever()


async def tunnel(host: str, port: str, inner_host: str, inner_port: str, pad: str = "0") -> None:
    """The job's end of a reverse tunnel of our own: one connection outwards, streams framed in it."""
    reader, writer = await _open(host, port)
    streams: dict[int, asyncio.StreamWriter] = {}

    async def back(ident: int, inner: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await inner.read(1 << 15):
                writer.write(_FRAME.pack(ident, len(data)) + data + bytes(int(pad)))
                await writer.drain()
        writer.write(_FRAME.pack(ident, 0) + bytes(int(pad)))

    tasks = set()
    while True:
        ident, size = _FRAME.unpack(await reader.readexactly(_FRAME.size))
        data = await reader.readexactly(size + int(pad))
        if ident not in streams:
            inner_reader, streams[ident] = await asyncio.open_connection(inner_host, int(inner_port))
            tasks.add(asyncio.create_task(back(ident, inner_reader)))
        if size:
            streams[ident].write(data[:size])
        else:
            streams.pop(ident).close()


async def far_end(port: str, listen: str, pad: str = "0") -> None:
    """The outside's end of it."""
    streams: dict[int, asyncio.StreamWriter] = {}
    up: list[asyncio.StreamWriter] = []

    async def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up[:] = [writer]
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                ident, size = _FRAME.unpack(await reader.readexactly(_FRAME.size))
                data = await reader.readexactly(size + int(pad))
                if ident in streams and size:
                    streams[ident].write(data[:size])
                elif ident in streams:
                    streams.pop(ident).close()

    async def user(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ident = random.randrange(1, 1 << 16)
        streams[ident] = writer
        while not up:
            await asyncio.sleep(0.1)
        while data := await reader.read(1 << 15):
            up[0].write(_FRAME.pack(ident, len(data)) + data + bytes(int(pad)))
        up[0].write(_FRAME.pack(ident, 0) + bytes(int(pad)))

    servers = [
        await asyncio.start_server(came, "0.0.0.0", int(port)),
        await asyncio.start_server(user, "127.0.0.1", int(listen)),
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def http(host: str, port: str, cert: str = "") -> None:
    """A web server: GET /N gives N bytes, GET /wait/S/N after S seconds; what is sent up is swallowed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError, ValueError):
            while line := await reader.readline():
                parts = line.split()[1].decode().strip("/").split("/")
                left = 0
                while (head := await reader.readline()).strip():
                    if head.lower().startswith(b"content-length:"):
                        left = int(head.split(b":")[1])
                    if head.lower().startswith(b"expect:"):
                        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                while left > 0:
                    left -= len(await reader.read(min(left, 1 << 16))) or left
                if parts[0] == "wait":
                    await asyncio.sleep(float(parts[1]))
                size = int(parts[-1]) if parts[-1].isdecimal() else 64
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + os.urandom(size))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, host, int(port), ssl=_context(cert))
    await server.serve_forever()


def _context(cert: str) -> ssl.SSLContext | None:
    if not cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert)
    return context


async def pool(host: str, port: str, seconds: str, seed: str, n: str) -> None:
    """A database's pool: several long connections, each question on whichever is free."""
    rng, loop = random.Random(seed), asyncio.get_running_loop()
    until = loop.time() + float(seconds)
    pairs = [await _open(host, port) for _ in range(int(n))]
    while loop.time() < until:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await asyncio.wait_for(_exchange(*rng.choice(pairs), rng, 5.5), 10)
        await asyncio.sleep(rng.expovariate(4))


async def ring(before: str, after: str, seconds: str, seed: str, *hosts: str) -> None:
    """A rank of a ring (Gloo, NCCL over sockets): what comes from one neighbour goes on to the other, summed.
    `hosts`: where to listen, and the next one's address."""
    rng, loop = random.Random(seed), asyncio.get_running_loop()
    came: asyncio.Queue[bytes] = asyncio.Queue(64)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                (size,) = struct.unpack("!I", await reader.readexactly(4))
                await came.put(await reader.readexactly(size))

    server = await asyncio.start_server(take, hosts[0], int(before))
    async with server:
        _, writer = await _open(hosts[1], after)
        until = loop.time() + float(seconds)
        while loop.time() < until:
            part = os.urandom(rng.choice((4096, 65536, 262144)))
            for _ in range(2):
                writer.write(struct.pack("!I", len(part)) + part)
                with contextlib.suppress(asyncio.TimeoutError, OSError):
                    await writer.drain()
                    part = await asyncio.wait_for(came.get(), 1)
            _note()
            await asyncio.sleep(rng.uniform(0.05, 0.6))


async def worker(host: str, port: str, inner: str, seconds: str, seed: str) -> None:
    """Takes questions from a queue outside, has a local model answer in other words, reports back."""
    rng, loop = random.Random(seed), asyncio.get_running_loop()
    until = loop.time() + float(seconds)
    far, near = await _open(host, port), await _open("127.0.0.1", inner)
    while loop.time() < until:
        prompt, answer = rng.randrange(200, 4000), rng.randrange(300, 6000)
        stages = ((far, 60, prompt), (near, 900 + 2 * prompt, 14 * answer), (far, answer, 40))
        for (reader, writer), ask, want in stages:
            writer.write(_ASK.pack(ask, want) + os.urandom(ask))
            await writer.drain()
            await reader.readexactly(want)
        _note()
        await asyncio.sleep(rng.expovariate(2))


async def shards(host: str, port: str, inner: str, seconds: str, seed: str) -> None:
    """Fetches parts of a data set outside and pushes them on to a loader nearby, which says thank you."""
    rng, loop = random.Random(seed), asyncio.get_running_loop()
    until = loop.time() + float(seconds)
    far, near = await _open(host, port), await _open("127.0.0.1", inner)
    while loop.time() < until:
        size = rng.randrange(50_000, 3_000_000)
        for (reader, writer), ask, want in ((far, rng.randrange(250, 500), size), (near, size, 40)):
            writer.write(_ASK.pack(ask, want) + os.urandom(ask))
            await writer.drain()
            await reader.readexactly(want)
        _note()
        await asyncio.sleep(rng.expovariate(2))


async def both(*words: str) -> None:
    """Several of these in one process: their words apart by `+`."""
    parts: list[list[str]] = []
    part: list[str] = []
    for word in words:
        if word == "+":
            parts.append(part)
            part = []
        else:
            part.append(word)
    await asyncio.gather(*(PROGRAMS[p[0]](*p[1:]) for p in [*parts, part]))


PROGRAMS: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    "service": service, "use": use, "stream": stream, "forward": forward, "tunnel": tunnel,
    "far_end": far_end, "socks": socks, "both": both, "http": http, "pool": pool, "ring": ring,
    "worker": worker, "shards": shards, "queue": queue,
}  # fmt: skip

if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, OSError, asyncio.IncompleteReadError):
        asyncio.run(PROGRAMS[sys.argv[1]](*sys.argv[2:]))
