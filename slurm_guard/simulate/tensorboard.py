"""A minimal TensorBoard event file: framing, masked CRC-32C and scalar summaries, as torch writes them."""

import struct

_POLY = 0x82F63B78


def _table() -> tuple[int, ...]:
    rows = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLY if crc & 1 else 0)
        rows.append(crc)
    return tuple(rows)


_CRC = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def encode_version(at: float) -> bytes:
    """The file's first record."""
    return _frame(b"\x09" + struct.pack("<d", at) + _field(3, b"brain.Event:2"))


def encode_scalars(at: float, step: int, values: dict[str, float]) -> bytes:
    """One event with a value per tag. `at`: wall time, UTC epoch seconds."""
    summary = b"".join(
        _field(1, _field(1, tag.encode()) + b"\x15" + struct.pack("<f", value))
        for tag, value in sorted(values.items())
    )
    return _frame(b"\x09" + struct.pack("<d", at) + b"\x10" + _varint(step) + _field(5, summary))


def _frame(payload: bytes) -> bytes:
    size = struct.pack("<Q", len(payload))
    return size + struct.pack("<I", _mask(size)) + payload + struct.pack("<I", _mask(payload))


def _mask(data: bytes) -> int:
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _field(number: int, body: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
