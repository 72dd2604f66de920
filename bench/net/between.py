"""Programs between somebody outside and a service of the job's: python between.py ROLE …

model PORT LEAST_S MOST_S HOW     a language model server: answers as a `whole`, or bit by bit (`stream`)
ask PORT SEED LEAST_S MOST_S      asks it again and again, with pauses, by one connection
crawl DOOR HOST SEED PORT…        asks services behind a SOCKS door, a connection for each few questions
environment PORT SEED             outside: shows the job what is there, waits for what it does about it
policy PORT                       of the job's: says what to do
agent HOST PORT POLICY HOW        takes it from one to the other: `plain`, with words of its own; `lean`, as
                                  it is; `probed`, lean, has its policy first, and had asked if it is ready
federation PORT LEAST_S MOST_S N  outside: gives N bytes of weights, waits for those that come back
rank PORT LEAST_S MOST_S          of the job's: trains them
member HOST PORT RANK             takes them from one to the other
"""

import asyncio
import contextlib
import http.client
import json
import os
import pickle
import random
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NEAR = "127.0.0.1"
_LENGTH = struct.Struct("!Q")


def _begin() -> None:
    """An exchange begins, for the first time or again."""
    with contextlib.suppress(FileExistsError), Path(os.environ["GUARD_USES"] + ".began").open("x") as file:
        file.write(repr(time.monotonic()))


def _used() -> None:
    with Path(os.environ["GUARD_USES"]).open("ab") as file:
        file.write(b".")


def _connect(host: str, port: str) -> socket.socket:
    while True:
        try:
            return socket.create_connection((host, int(port)))
        except OSError:
            time.sleep(0.4)


def _exactly(end: socket.socket, n: int) -> bytes:
    body = bytearray()
    while len(body) < n:
        data = end.recv(min(65_536, n - len(body)))
        if not data:
            raise EOFError
        body += data
    return bytes(body)


# -- a model's server


class _Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65_536
    least_s = most_s = 1.0
    streams = False

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        """An answer after a while, or bit by bit."""
        self.rfile.read(int(self.headers["Content-Length"]))
        length_s = random.uniform(self.least_s, self.most_s)
        self.send_response(200)
        if not self.streams:
            time.sleep(length_s)
            body = json.dumps({"choices": [{"text": os.urandom(random.randrange(300, 2500)).hex()}]}).encode()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        until = time.monotonic() + length_s
        while time.monotonic() < until:
            token = b'data: {"id":"%s","delta":"%s"}\n\n' % (
                os.urandom(8).hex().encode(),
                os.urandom(3).hex().encode(),
            )
            self.wfile.write(b"%x\r\n%s\r\n" % (len(token), token))
            self.wfile.flush()
            time.sleep(random.uniform(0.02, 0.06))
        self.wfile.write(b"0\r\n\r\n")


def model(port: str, least_s: str, most_s: str, how: str) -> None:
    """Serves for ever."""
    _Model.least_s, _Model.most_s, _Model.streams = float(least_s), float(most_s), how == "stream"
    ThreadingHTTPServer((NEAR, int(port)), _Model).serve_forever()


def ask(port: str, seed: str, least_s: str, most_s: str) -> None:
    """Asks for ever."""
    rng = random.Random(seed)
    to: http.client.HTTPConnection | None = None
    while True:
        try:
            to = to or http.client.HTTPConnection(NEAR, int(port), timeout=30)
            prompt = os.urandom(rng.randrange(100, 3000)).hex()
            to.request("POST", "/v1/completions", json.dumps({"model": "m", "prompt": prompt}))
            _begin()
            to.getresponse().read()
            _used()
            time.sleep(rng.uniform(float(least_s), float(most_s)))
        except (OSError, http.client.HTTPException):
            to = None
            time.sleep(0.3)


# -- services behind a SOCKS door


def crawl(door: str, host: str, seed: str, *ports: str) -> None:
    """One connection after the other, each closed at once."""
    rng = random.Random(seed)
    while True:
        with contextlib.suppress(OSError, EOFError), socket.create_connection((NEAR, int(door)), 10) as end:
            end.sendall(b"\5\1\0")
            _exactly(end, 2)
            there = socket.inet_aton(host) + int(rng.choice(ports)).to_bytes(2, "big")
            end.sendall(b"\5\1\0\1" + there)
            _exactly(end, 10)
            for _ in range(rng.randrange(1, 4)):
                asked, answered = rng.randrange(150, 800), rng.randrange(200, 30_000)
                _begin()
                end.sendall(struct.pack("!II", asked, answered) + os.urandom(asked))
                _exactly(end, answered)
            _used()
        time.sleep(rng.uniform(0.1, 1.2))


# -- an environment outside, a policy nearby


async def _serve(host: str, port: str, talk: Callable[[Any], Awaitable[None]]) -> None:
    import websockets

    async with websockets.serve(talk, host, int(port), compression=None, max_size=None):
        await asyncio.Future()


async def _open(host: str, port: str) -> Any:
    import websockets

    while True:
        try:
            return await websockets.connect(f"ws://{host}:{port}", compression=None, max_size=None)
        except OSError:
            await asyncio.sleep(0.4)


def environment(port: str, seed: str) -> None:
    """Serves for ever."""
    rng = random.Random(seed)

    async def talk(end: Any) -> None:
        while True:
            await end.send(pickle.dumps({"observation": os.urandom(rng.randrange(600, 9000))}))
            await end.recv()
            await asyncio.sleep(rng.uniform(0.3, 1.6))

    asyncio.run(_serve("0.0.0.0", port, talk))


def policy(port: str) -> None:
    """Serves for ever."""

    async def talk(end: Any) -> None:
        async for said in end:
            words = (
                {"server_timing": {"infer_ms": 51.2, "queue_ms": 0.3}}
                if "prompt" in pickle.loads(said)
                else {}
            )
            await asyncio.sleep(random.uniform(0.03, 0.2))
            await end.send(pickle.dumps({"action": os.urandom(random.randrange(200, 1500)), **words}))

    asyncio.run(_serve(NEAR, port, talk))


def agent(host: str, port: str, to: str, how: str) -> None:
    """For ever."""

    async def take() -> None:
        near = None
        if how == "probed":
            probe = await _open(NEAR, to)
            await probe.send(pickle.dumps({"observation": bytes(700)}))
            await probe.recv()
            await probe.close()
            near = await _open(NEAR, to)
        far = await _open(host, port)
        near = near or await _open(NEAR, to)
        own = {"prompt": "pick up the block"} if how == "plain" else {}
        _begin()
        while True:
            seen = pickle.loads(await far.recv())
            await near.send(pickle.dumps(seen | own))
            done = pickle.loads(await near.recv())
            await far.send(pickle.dumps({"action": done["action"]}))
            _used()

    asyncio.run(take())


# -- a federation outside, a rank nearby


def _send(end: socket.socket, said: Any) -> None:
    body = pickle.dumps(said)
    end.sendall(_LENGTH.pack(len(body)) + body)


def _receive(end: socket.socket) -> Any:
    return pickle.loads(_exactly(end, _LENGTH.unpack(_exactly(end, 8))[0]))


def federation(port: str, least_s: str, most_s: str, size: str) -> None:
    """Rounds for ever; the others take so long."""
    end, _ = socket.create_server(("0.0.0.0", int(port))).accept()
    weights, n = os.urandom(int(size)), 0
    while True:
        _send(end, {"round": n, "weights": weights})
        weights, n = _receive(end)["weights"], n + 1
        time.sleep(random.uniform(float(least_s), float(most_s)))


def rank(port: str, least_s: str, most_s: str) -> None:
    """Trains for ever."""
    end, _ = socket.create_server((NEAR, int(port))).accept()
    while True:
        n = len(_receive(end)["weights"])
        time.sleep(random.uniform(float(least_s), float(most_s)))
        _send(end, {"weights": os.urandom(n), "loss": random.random()})


def member(host: str, port: str, to: str) -> None:
    """Takes part for ever."""
    far, near = _connect(host, port), None
    _begin()
    while True:
        given = _receive(far)
        near = near or _connect(NEAR, to)
        _send(near, {"weights": given["weights"], "epochs": 1})
        found = _receive(near)
        _send(far, {"weights": found["weights"], "metrics": {"loss": found["loss"]}, "n": 5000})
        _used()


_ROLES: dict[str, Callable[..., None]] = {
    one.__name__: one for one in (model, ask, crawl, environment, policy, agent, federation, rank, member)
}

if __name__ == "__main__":
    _ROLES[sys.argv[1]](*sys.argv[2:])
