"""The protobuf wire format, as much of it as event files need: varints and a walk over fields."""

from collections.abc import Iterator

MAX_FIELDS = 4096  # in one message; a longer one is not a scalar's


class WireError(ValueError):
    """Bytes that are no protobuf message."""


def varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, next position). Raises WireError at the end of data and beyond 64 bits."""
    value = shift = 0
    size = len(data)
    while at < size:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            break
    raise WireError("varint")


def signed(value: int) -> int:
    """A varint read as int64."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def fields(data: bytes, begin: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(number, wire type, value or start, end) of each field in data[begin:end]; groups are refused."""
    at = begin
    for _ in range(MAX_FIELDS):
        if at >= end:
            return
        tag, at = varint(data, at)
        kind = tag & 7
        if tag < 8 or at > end:
            raise WireError("tag")  # no field has the number 0; none ends behind its message
        if kind == 0:
            value, at = varint(data, at)
            if at > end:
                raise WireError("value")
            yield tag >> 3, 0, value, at
        elif kind == 2:
            size, at = varint(data, at)
            if size > end - at:
                raise WireError("length")
            yield tag >> 3, 2, at, at + size
            at += size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            if size > end - at:
                raise WireError("fixed")
            yield tag >> 3, kind, at, at + size
            at += size
        else:
            raise WireError("group")
    raise WireError("fields")
