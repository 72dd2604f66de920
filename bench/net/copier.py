"""Copies from outside to a service nearby, by requests as talk.py's service answers them. Run as a file.

python copier.py MODE HOST PORT INNER_PORT SECONDS SEED
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
Stage = tuple[
    int, int, int, float
]  # which side, bytes sent, bytes wanted back, seconds that the answer takes


def _stages(mode: str, rng: random.Random) -> Iterator[Stage]:
    if mode == "mirror":
        size = int(min(4e6, rng.lognormvariate(12, 1.2)))
        yield _FAR, rng.randrange(180, 400), size + rng.randrange(250, 500), 0
        yield _NEAR, size + rng.randrange(200, 450), rng.randrange(150, 350), 0
    elif mode == "etl":
        size = int(min(4e5, rng.lognormvariate(9, 1.0)))
        yield _FAR, rng.randrange(30, 60), size, 0
        yield _NEAR, int(1.02 * size) + 40, rng.randrange(25, 60), 0
    elif mode == "cachewarm":
        size = int(min(4e6, rng.lognormvariate(11, 1.4)))
        yield _NEAR, 180, 120, 0
        yield _FAR, 260, size + 300, 0
        yield _NEAR, size + 250, 130, 0
    else:
        prompt, answer = rng.randrange(500, 9000), rng.randrange(500, 6000)
        yield _FAR, 350, prompt + 400, 0
        yield _NEAR, prompt + 330, answer + 420, rng.uniform(0.2, 0.8)
        yield _FAR, answer + 380, 180, 0


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


def main(mode: str, host: str, port: str, inner: str, seconds: str, seed: str) -> None:
    """Until the time is up; each copy is one byte in the file that GUARD_USES names."""
    rng = random.Random(seed)
    ends = _open(host, port), _open("127.0.0.1", inner)
    until = time.monotonic() + float(seconds)
    uses = Path(os.environ["GUARD_USES"])
    Path(f"{uses}.began").write_text(repr(time.monotonic()))
    while time.monotonic() < until:
        for side, ask, want, takes_s in _stages(mode, rng):
            ends[side].sendall(_ASK.pack(ask, want) + bytes(ask))
            time.sleep(takes_s)
            _read(ends[side], want)
        with uses.open("ab", 0) as told:
            told.write(b".")
        time.sleep(rng.expovariate(3) if mode in ("mirror", "cachewarm") else 0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
