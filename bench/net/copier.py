"""Copies between a place outside and a service nearby, by requests as talk.py's service answers them. Run as
a file.

python copier.py MODE HOST PORT INNER_PORT SECONDS SEED PAUSE_S [fresh | fresh_near]   fresh: a connection for
                                                 each request; fresh_near: nearby alone
"""

import os
import random
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_ASK = struct.Struct("!II")  # bytes that follow, bytes wanted back
_FAR, _NEAR = 0, 1
_HEAD_B = 210  # of a request: a web client sends it apart from what follows
_FRESH = {"fresh": frozenset({_FAR, _NEAR}), "fresh_near": frozenset({_NEAR})}
Stage = tuple[int, int, int]  # which side, bytes sent, bytes wanted back


def _stages(mode: str, rng: random.Random) -> Iterator[Stage]:
    if mode == "mirror":
        size = int(min(4e6, rng.lognormvariate(12, 1.2)))
        yield _FAR, rng.randrange(180, 400), size + rng.randrange(250, 500)
        yield _NEAR, size + rng.randrange(200, 450), rng.randrange(150, 350)
    elif mode == "etl":
        size = int(min(4e5, rng.lognormvariate(9, 1.0)))
        yield _FAR, rng.randrange(30, 60), size
        yield _NEAR, int(1.02 * size) + 40, rng.randrange(25, 60)
    elif mode == "cachewarm":
        size = int(min(4e6, rng.lognormvariate(11, 1.4)))
        yield _NEAR, 180, 120
        yield _FAR, 260, size + 300
        yield _NEAR, size + 250, 130
    elif mode == "uplink":
        size = int(min(4e6, rng.lognormvariate(11, 1.4)))
        yield _NEAR, rng.randrange(180, 400), size + rng.randrange(250, 500)
        yield _FAR, size + rng.randrange(200, 450), rng.randrange(150, 350)
    elif mode == "thanked":  # an object store's thanks are longer than a short request
        size = int(min(4e6, rng.lognormvariate(11, 1.4)))
        yield _NEAR, 190, size + 250
        yield _FAR, size + 330, 320
    elif mode == "lean":  # a binary protocol: headers that are known need few bytes
        prompt, answer = rng.randrange(500, 9000), rng.randrange(500, 6000)
        yield _FAR, rng.randrange(50, 90), prompt + 210
        yield _NEAR, prompt + 200, answer + 160
        yield _FAR, answer + rng.randrange(100, 140), rng.randrange(40, 70)
    elif mode == "web":  # a Python client's and a Python server's heads
        prompt, answer = rng.randrange(500, 9000), rng.randrange(500, 6000)
        yield _FAR, rng.randrange(170, 230), prompt + 125
        yield _NEAR, prompt + _HEAD_B, answer + 125
        yield _FAR, answer + _HEAD_B, rng.randrange(135, 160)
    else:
        prompt, answer = rng.randrange(500, 9000), rng.randrange(500, 6000)
        yield _FAR, 350, prompt + 400
        yield _NEAR, prompt + 330, answer + 420
        yield _FAR, answer + 380, 180


def _open(host: str, port: str) -> socket.socket:
    while True:
        try:
            opened = socket.create_connection((host, int(port)))
        except OSError:
            time.sleep(0.2)
            continue
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened


def _read(end: socket.socket, n: int) -> None:
    while n > 0:
        got = len(end.recv(min(n, 1 << 16)))
        if got == 0:
            raise EOFError
        n -= got


def main(mode: str, host: str, port: str, inner: str, *how: str) -> None:
    """Until the time is up; each copy is one byte in the file that GUARD_USES names."""
    seconds, seed, pause, fresh = (
        how[0],
        how[1],
        float(how[2]),
        _FRESH.get(how[-1], frozenset()),
    )
    rng, is_split = random.Random(seed), mode == "web"
    places = (host, port), ("127.0.0.1", inner)
    ends = {side: _open(*places[side]) for side in (_FAR, _NEAR) if side not in fresh}
    until = time.monotonic() + float(seconds)
    uses = Path(os.environ["GUARD_USES"])
    Path(f"{uses}.began").write_text(repr(time.monotonic()))
    while time.monotonic() < until:
        for side, ask, want in _stages(mode, rng):
            end = _open(*places[side]) if side in fresh else ends[side]
            head = _ASK.pack(ask, want) + bytes(min(ask, _HEAD_B)) if is_split else b""
            if head:
                end.sendall(head)
            end.sendall((_ASK.pack(ask, want) + bytes(ask))[len(head) :])
            _read(end, want)
            if side in fresh:
                end.close()
        with uses.open("ab", 0) as told:
            told.write(b".")
        time.sleep(rng.expovariate(1 / pause) if pause else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
