"""Somebody on the outside host who comes in by the door that a job's tunnel opened there. Stdlib only.

guest.py PORT SEED WORK_AFTER_S LOG   visits with several exchanges each, pauses in between; from
WORK_AFTER_S after the first one on he also asks for work. An exchange is a line in LOG: when it ended, and
whether work was asked for.
"""

import contextlib
import os
import random
import socket
import struct
import sys
import time
from pathlib import Path

ASK = struct.Struct("!II?")


def main() -> None:
    """Until it is ended: the job may be gone before."""
    os.umask(0o077)  # his notes are for the judge
    port, seed, work_after_s, log = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), Path(sys.argv[4])
    draw = random.Random(seed)
    work_at: float | None = None  # null: nobody has answered yet
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5.0) as door:
            door.settimeout(10.0)
            for _ in range(draw.randrange(4, 15)):
                work = work_at is not None and time.monotonic() >= work_at
                _exchange(door, draw, work)
                work_at = time.monotonic() + work_after_s if work_at is None else work_at
                with log.open("a", encoding="ascii") as out:
                    out.write(f"{time.time():.3f} {int(work)}\n")
                time.sleep(draw.expovariate(1.2))
        time.sleep(draw.uniform(1.0, 6.0))


def _exchange(door: socket.socket, draw: random.Random, work: bool) -> None:
    """Raises OSError when the far end is gone."""
    sent, wanted = (int(min(4e5, draw.lognormvariate(8.0, 1.2))) + 1 for _ in range(2))
    door.sendall(ASK.pack(sent, wanted, work) + os.urandom(sent))
    left = wanted
    while left:
        got = len(door.recv(min(left, 1 << 16)))
        if got == 0:
            raise ConnectionResetError
        left -= got


if __name__ == "__main__":
    main()
