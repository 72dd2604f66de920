"""Writes event files by hand, so that the reader is not tested with its own ideas."""

import struct


def varint(value: int) -> bytes:
    """A protobuf varint; negative numbers in ten bytes."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def scalar(tag: str, value: float) -> bytes:
    """Summary.Value with simple_value."""
    return field(1, tag.encode()) + b"\x15" + struct.pack("<f", value)


def tensor(tag: str, value: float) -> bytes:
    """Summary.Value as TF2 writes it: a DT_FLOAT tensor with content."""
    return field(1, tag.encode()) + field(8, b"\x08\x01" + field(4, struct.pack("<f", value)))


def record(payload: bytes) -> bytes:
    """TFRecord framing; the checksums are not looked at."""
    return struct.pack("<QI", len(payload), 0) + payload + b"\0\0\0\0"


def event(wall: float, step: int, *values: bytes) -> bytes:
    """One framed Event."""
    body = b"\x09" + struct.pack("<d", wall) + b"\x10" + varint(step)
    return record(body + field(5, b"".join(field(1, value) for value in values)))


def version(wall: float = 1.7e9) -> bytes:
    """The record that opens every file."""
    return record(b"\x09" + struct.pack("<d", wall) + field(3, b"brain.Event:2"))
