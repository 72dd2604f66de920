"""Writes `.wandb` files by hand, after the format's description, not after our reader."""

import json
import struct
import zlib

from tests.unit.progress.event_files import field, varint

BLOCK = 32_768
HEADER = b":W&B" + struct.pack("<H", 0xBEE1) + b"\0"


def row(number: int | None = None, nested: bool = False, /, **values: object) -> bytes:
    """A Record with one row of history; `number`: its own step; keys are given with __ for a slash."""
    items = []
    for name, value in values.items():
        parts = name.replace("__", "/").split("/") if nested else [name.replace("__", "/")]
        named = b"".join(field(2, part.encode()) for part in parts) if nested else field(1, parts[0].encode())
        items.append(field(1, named + field(16, json.dumps(value).encode())))
    said = b"" if number is None else field(2, b"\x08" + varint(number))
    return b"\x08\x01" + field(2, b"".join(items) + said)


def written_in(job: str) -> bytes:
    """The Record with the environment of a Slurm job."""
    pairs = (("procid", "0"), ("job_id", job))
    return field(26, b"".join(field(27, field(1, k.encode()) + field(2, v.encode())) for k, v in pairs))


def exited() -> bytes:
    """The Record that ends a run."""
    return field(18, b"")


def log(*records: bytes) -> bytes:
    """A whole file."""
    out = bytearray(HEADER)
    for record in records:
        rest, first = record, True
        while True:
            left = BLOCK - len(out) % BLOCK
            if left < 7:
                out += b"\0" * left
                continue
            piece, rest = rest[: left - 7], rest[left - 7 :]
            kind = (1 if first else 4) if not rest else (2 if first else 3)
            out += struct.pack("<IHB", zlib.crc32(bytes([kind]) + piece), len(piece), kind) + piece
            first = False
            if not rest:
                break
    return bytes(out)
